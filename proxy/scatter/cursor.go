package scatter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A cursor is SQL's. One on a single shard is that server's; the rows of one on several are
// kept here, up to the memory limit, so that it can move both ways while the connections
// serve other statements.
type cursor struct {
	shard  int // -1: the rows are here
	hold   bool
	born   bool // in this transaction
	scroll bool
	fields []wire.Field
	rows   [][]byte
	at     int // how many rows are before or at the position; 0 is before the first
	past   bool
}

// replayRows is an answer of rows that are in memory.
func replayRows(rows [][]byte, tag string) *answer {
	at := 0
	return &answer{
		next: func(context.Context) ([]byte, error) {
			if at == len(rows) {
				return nil, io.EOF
			}
			at++
			return rows[at-1], nil
		},
		tag:  func() (string, error) { return tag, nil },
		stop: func(error) {},
	}
}

// cursor is DECLARE, FETCH, MOVE and CLOSE.
func (s *Session) cursor(ctx context.Context, d *route.Decision, q *request) error {
	w, err := scan(q.sql)
	if err != nil {
		return err
	}
	if w.is(0, "declare") {
		return s.declare(ctx, d, q, w)
	}
	name := d.Plan.Word
	if w.is(0, "close") && w.is(1, "all") {
		for _, l := range s.parts() {
			if _, err := l.exec(q.sql); err != nil {
				return err
			}
		}
		clear(s.cursors)
		return s.tagged("CLOSE CURSOR ALL")
	}
	c := s.cursors[name]
	if c == nil {
		return wire.Errorf(wire.CodeInvalidCursorName, "cursor %q does not exist", name)
	}
	if c.shard >= 0 {
		one := *d
		one.Role = route.Primary
		if l := s.links[c.shard]; l != nil {
			one.Role = l.role
		}
		if q.extended {
			err = s.forwardExtended(ctx, &one, &request{sql: q.sql, extended: true, results: q.results}, c.shard)
		} else {
			err = s.forward(ctx, &one, q, c.shard)
		}
		if err == nil && w.is(0, "close") {
			delete(s.cursors, name)
		}
		return err
	}
	if w.is(0, "close") {
		delete(s.cursors, name)
		return s.tagged("CLOSE CURSOR")
	}
	return s.fetchRows(ctx, c, w, q)
}

// current is the state to route a statement by: WHERE CURRENT OF a cursor is the shard's that
// has it.
func (s *Session) current(sql string) (*route.Session, error) {
	if !containsFold(sql, "current") {
		return &s.state, nil
	}
	w, err := scan(sql)
	if err != nil {
		return nil, err
	}
	for i := range w.toks {
		if !w.is(i, "where") || !w.is(i+1, "current") || !w.is(i+2, "of") || i+3 >= len(w.toks) {
			continue
		}
		c := s.cursors[w.ident(i+3)]
		switch {
		case c == nil:
			return nil, wire.Errorf(wire.CodeInvalidCursorName, "cursor %q does not exist", w.ident(i+3))
		case c.shard < 0:
			return nil, refuse("WHERE CURRENT OF a cursor whose rows are of several shards", "identify the row by its key")
		}
		state := s.state
		state.Hint.Shard, state.Hint.HasKey = c.shard, false
		return &state, nil
	}
	return &s.state, nil
}

// declare is DECLARE CURSOR.
func (s *Session) declare(ctx context.Context, d *route.Decision, q *request, w words) error {
	name := d.Plan.Word
	at := 2
	c := &cursor{shard: -1, born: true, scroll: true}
	for ; at < len(w.toks) && !w.is(at, "for"); at++ {
		switch {
		case w.is(at, "binary"):
			return refuse("BINARY cursors are not possible on a sharded database", "ask for binary results by the extended protocol")
		case w.is(at, "hold"):
			c.hold = !w.is(at-1, "without")
		case w.is(at, "scroll"):
			c.scroll = !w.is(at-1, "no")
		}
	}
	switch {
	case s.cursors[name] != nil:
		return wire.Errorf(wire.CodeDuplicateCursor, "cursor %q already exists", name)
	case !s.tx.block && !c.hold:
		return wire.Errorf(wire.CodeNoActiveSQLTransaction, "DECLARE CURSOR can only be used in transaction blocks")
	}
	sub := &request{sql: w.inner(at+1, len(w.toks)), extended: q.extended, types: q.types, formats: q.formats, values: q.values}
	var inner route.Decision
	if err := s.decide(ctx, &inner, sub); err != nil {
		return err
	}
	if inner.Plan.Class != route.Select {
		return wire.Errorf(wire.CodeSyntaxError, "DECLARE CURSOR is for queries")
	}
	if shard, ok := s.own(&inner); ok && !c.hold {
		one := *d
		one.Role, one.SQL, one.Queries = inner.Role, "", nil
		if inner.SQL != "" {
			return refuse("a cursor on a query with pgdog.unique_id()", "run the query itself")
		}
		var err error
		if q.extended {
			err = s.forwardExtended(ctx, &one, q, shard)
		} else {
			err = s.forward(ctx, &one, q, shard)
		}
		if err == nil {
			c.shard = shard
			s.cursors[name] = c
		}
		return err
	}
	a, err := s.source(ctx, &inner, sub)
	if err != nil {
		return err
	}
	c.fields = a.fields
	if c.rows, err = s.store(ctx, a); err != nil {
		return err
	}
	if _, err = a.tag(); err != nil {
		return err
	}
	s.cursors[name] = c
	if !s.tx.open() {
		c.born = false
	}
	return s.tagged("DECLARE CURSOR")
}

// fetchRows is FETCH and MOVE on rows that are here.
func (s *Session) fetchRows(ctx context.Context, c *cursor, w words, q *request) error {
	out, err := c.fetch(w)
	if err != nil {
		return err
	}
	if w.is(0, "move") {
		return s.tagged(fmt.Sprintf("MOVE %d", len(out)))
	}
	if anyBinary(q.results) {
		return s.fetchBinary(ctx, c, out, q)
	}
	if !q.extended {
		if err := s.send(&wire.RowDescription{Fields: c.fields}); err != nil {
			return err
		}
	}
	for _, body := range out {
		if err := s.raw(wire.TypeDataRow, body); err != nil {
			return err
		}
	}
	return s.tagged(fmt.Sprintf("FETCH %d", len(out)))
}

// fetchBinary lets a server write rows in other formats than those that they are kept in.
func (s *Session) fetchBinary(ctx context.Context, c *cursor, rows [][]byte, q *request) error {
	if err := s.lossy(); err != nil {
		return err
	}
	columns := make([]gather.RelationColumn, len(c.fields))
	var list strings.Builder
	for i := range columns {
		columns[i].Name = fmt.Sprintf("c%d", i)
		if i > 0 {
			list.WriteString(", ")
		}
		list.WriteString("r." + columns[i].Name + " AS " + quoteIdent(c.fields[i].Name))
	}
	rel, err := newRelation(columns, c.fields)
	if err != nil {
		return err
	}
	left := s.ex.cfg.Memory
	var values [][]byte
	for _, body := range rows {
		if values, err = columnsOf(values, body); err != nil {
			return err
		}
		if err := rel.add(values, &left); err != nil {
			return err
		}
	}
	d := route.Decision{
		FinishShard: s.sticky, Role: route.Primary,
		Finish: []gather.Piece{{Text: "SELECT " + list.String() + " FROM "}, {Kind: gather.Source}, {Text: " AS r"}},
	}
	a, err := s.finish(ctx, &d, &request{extended: true, results: q.results}, nil, []*relation{rel})
	if err != nil {
		return err
	}
	if err := s.reply(ctx, a, false, 0); err != nil {
		return err
	}
	return s.tagged(fmt.Sprintf("FETCH %d", len(rows)))
}

// fetch moves the cursor and returns the rows on the way (PortalRunFetch in pquery.c).
func (c *cursor) fetch(w words) ([][]byte, error) {
	const all = int(^uint(0) >> 1)
	count := func(at int) (int, int, error) {
		neg := 1
		if w.is(at, "-") || w.is(at, "+") {
			if w.is(at, "-") {
				neg = -1
			}
			at++
		}
		n, err := strconv.Atoi(w.value(at))
		if err != nil {
			return 0, at, wire.Errorf(wire.CodeSyntaxError, "syntax error at or near %q", w.value(at))
		}
		return neg * n, at + 1, nil
	}
	last := len(w.toks) - 1 // the name
	if last > 1 && w.is(last-1, "from", "in") {
		last--
	}
	var err error
	n := 1
	switch {
	case last <= 1, w.is(1, "next"):
		return c.forward(1), nil
	case w.is(1, "prior"):
		return c.backward(1)
	case w.is(1, "first"):
		return c.absolute(1)
	case w.is(1, "last"):
		return c.absolute(-1)
	case w.is(1, "all"):
		return c.forward(all), nil
	case w.is(1, "absolute", "relative"):
		if n, _, err = count(2); err != nil {
			return nil, err
		}
		if w.is(1, "absolute") {
			return c.absolute(n)
		}
		return c.relative(n)
	case w.is(1, "forward", "backward"):
		switch {
		case last <= 2:
		case w.is(2, "all"):
			n = all
		default:
			if n, _, err = count(2); err != nil {
				return nil, err
			}
		}
		if w.is(1, "backward") {
			n = -n
		}
	default:
		if n, _, err = count(1); err != nil {
			return nil, err
		}
	}
	switch {
	case n > 0:
		return c.forward(n), nil
	case n < 0:
		return c.backward(-n)
	}
	return c.relative(0)
}

func (c *cursor) forward(n int) [][]byte {
	from := c.at
	if c.past {
		return nil
	}
	if n > len(c.rows)-from {
		c.at, c.past = len(c.rows), true
		return c.rows[from:]
	}
	c.at += n
	return c.rows[from:c.at]
}

var errNoScroll = errors.New("cursor can only scan forward")

func (c *cursor) backward(n int) ([][]byte, error) {
	if !c.scroll {
		return nil, &wire.Error{Code: "55000", Message: errNoScroll.Error(), Hint: "Declare it with SCROLL option to enable backward scan."}
	}
	at := c.at // the row at the position is rows[at-1], or past it there is none
	if !c.past {
		at--
	}
	var out [][]byte
	for ; n > 0 && at > 0; n-- {
		out = append(out, c.rows[at-1])
		at--
	}
	c.past = false
	if n > 0 {
		c.at = 0
		return out, nil
	}
	c.at = at + 1
	return out, nil
}

// absolute goes to the n-th row, from the end if n is negative.
func (c *cursor) absolute(n int) ([][]byte, error) {
	if n < 0 {
		n = max(len(c.rows)+n+1, 0)
	}
	if n < c.at+boolInt(c.past) && !c.scroll {
		_, err := c.backward(1)
		return nil, err
	}
	c.past = n > len(c.rows)
	c.at = min(n, len(c.rows))
	if c.past || c.at == 0 {
		return nil, nil
	}
	return c.rows[c.at-1 : c.at], nil
}

func (c *cursor) relative(n int) ([][]byte, error) {
	at := c.at + boolInt(c.past) + n
	if n < 0 && !c.scroll {
		return c.backward(1)
	}
	return c.absolute(max(0, at))
}
