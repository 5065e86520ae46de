package scatter

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// words are a statement's tokens, as the session reads those that concern it.
type words struct {
	sql   string
	toks  []lex.Token
	hints []lex.Comment // for routing
}

func scan(sql string) (words, error) {
	var sc lex.Scanner
	if err := sc.Scan(sql); err != nil {
		return words{}, &wire.Error{Code: wire.CodeSyntaxError, Message: err.Error()}
	}
	toks := sc.Tokens
	for len(toks) > 0 && toks[len(toks)-1].Is(sql, ";") {
		toks = toks[:len(toks)-1]
	}
	return words{sql, toks, sc.Hints}, nil
}

func (w words) is(i int, list ...string) bool {
	if i >= len(w.toks) {
		return false
	}
	return slices.ContainsFunc(list, func(s string) bool { return w.toks[i].Is(w.sql, s) })
}

func (w words) ident(i int) string {
	if i >= len(w.toks) || w.toks[i].Kind != lex.Word && w.toks[i].Kind != lex.Quoted {
		return ""
	}
	return w.toks[i].Ident(w.sql)
}

// value is what a word, number or string stands for.
func (w words) value(i int) string {
	if i >= len(w.toks) {
		return ""
	}
	if w.toks[i].Kind == lex.String {
		v, _ := w.toks[i].AppendValue(nil, w.sql)
		return string(v)
	}
	if id := w.ident(i); id != "" {
		return id
	}
	return w.toks[i].Text(w.sql)
}

// text is the statement from a token on, up to another.
func (w words) text(from, to int) string {
	if from >= to {
		return ""
	}
	return w.sql[w.toks[from].Start:w.toks[to-1].End]
}

// inner is the text of tokens of a statement within this one, with this one's hints for routing.
func (w words) inner(from, to int) string {
	text := w.text(from, to)
	if from >= to {
		return text
	}
	var hints strings.Builder
	for _, c := range w.hints {
		if int(c.Start) < int(w.toks[from].Start) || int(c.End) > int(w.toks[to-1].End) {
			hints.WriteString(w.sql[c.Start:c.End] + "\n")
		}
	}
	return hints.String() + text
}

func firstWord(sql string) string {
	w, err := scan(sql)
	if err != nil || len(w.toks) == 0 {
		return ""
	}
	return lex.Fold(w.toks[0].Text(sql))
}

// control answers the statements that are the session's own. handled is false for others.
func (s *Session) control(ctx context.Context, d *route.Decision, q *request) (handled bool, err error) {
	switch d.Plan.Class {
	case route.Empty:
		return true, s.send(&wire.EmptyQueryResponse{})
	case route.Transaction:
		return true, s.transact(ctx, q.sql)
	case route.Set:
		return true, s.set(ctx, q)
	case route.Show:
		return s.show(d, q)
	case route.Prepare:
		return true, s.prepare(ctx, d, q)
	case route.Execute:
		return true, s.executePrepared(ctx, d, q)
	case route.Deallocate:
		return true, s.deallocate(ctx, q)
	case route.Cursor:
		return true, s.cursor(ctx, d, q)
	case route.Listen, route.Notify:
		return true, s.channel(ctx, d, q)
	case route.Explain:
		if d.Plan.RouteOnly {
			return true, s.explainRoute(ctx, q)
		}
	}
	return false, nil
}

// tagged answers with a command tag.
func (s *Session) tagged(tag string) error { return s.send(&wire.CommandComplete{Tag: tag}) }

// transact carries out BEGIN, COMMIT and their like.
func (s *Session) transact(ctx context.Context, sql string) error {
	w, err := scan(sql)
	if err != nil {
		return err
	}
	switch {
	case w.is(0, "begin"), w.is(0, "start") && w.is(1, "transaction"):
		return s.beginBlock(w)
	case w.is(0, "prepare"):
		return refuse("PREPARE TRANSACTION is the proxy's own on a sharded database", "use COMMIT, with two_phase_commit turned on")
	case w.is(0, "commit", "rollback") && w.is(1, "prepared"):
		return refuse("prepared transactions are the proxy's own on a sharded database", "connect to the shard's server")
	case w.is(0, "commit", "end"):
		return s.endBlock(ctx, w, true)
	case w.is(0, "abort"), w.is(0, "rollback") && !w.has("to"):
		return s.endBlock(ctx, w, false)
	case w.is(0, "set"):
		return s.setTransaction(ctx, w)
	}
	return s.savepoint(w)
}

func (w words) has(word string) bool {
	for i := range w.toks {
		if w.is(i, word) {
			return true
		}
	}
	return false
}

// beginBlock is BEGIN.
func (s *Session) beginBlock(w words) error {
	if s.tx.block {
		if err := s.notice(wire.SeverityWarning, wire.CodeActiveSQLTransaction, "there is already a transaction in progress"); err != nil {
			return err
		}
		return s.tagged(beginTag(w))
	}
	at := 1
	if w.is(at, "transaction", "work") {
		at++
	}
	modes := w.text(at, len(w.toks))
	if err := checkModes(w, at); err != nil {
		return err
	}
	text := "BEGIN"
	if modes != "" {
		text += " " + modes
	}
	if s.tx.implicit {
		if modes != "" {
			return refuse("BEGIN with modes within a string of several statements", "send it as a query of its own")
		}
		s.tx.block, s.tx.implicit = true, false
		return s.tagged(beginTag(w))
	}
	readOnly := s.state.ReadOnly
	s.begin(text, true)
	s.tx.state.InTransaction = false
	if w.has("read") {
		readOnly = w.has("only") && !w.has("serializable") // which a server in recovery refuses
	}
	s.state.ReadOnly = readOnly
	return s.tagged(beginTag(w))
}

func beginTag(w words) string {
	if w.is(0, "start") {
		return "START TRANSACTION"
	}
	return "BEGIN"
}

// checkModes checks the modes of BEGIN and SET TRANSACTION, which no server reads yet.
func checkModes(w words, at int) error {
	for at < len(w.toks) {
		switch {
		case w.is(at, "isolation") && w.is(at+1, "level") && w.is(at+2, "serializable"):
			at += 3
		case w.is(at, "isolation") && w.is(at+1, "level") && w.is(at+2, "repeatable") && w.is(at+3, "read"),
			w.is(at, "isolation") && w.is(at+1, "level") && w.is(at+2, "read") && w.is(at+3, "committed", "uncommitted"):
			at += 4
		case w.is(at, "read") && w.is(at+1, "only", "write"), w.is(at, "not") && w.is(at+1, "deferrable"):
			at += 2
		case w.is(at, "deferrable"):
			at++
		default:
			return &wire.Error{
				Code: wire.CodeSyntaxError, Message: "syntax error at or near " + strconv.Quote(w.toks[at].Text(w.sql)),
				Position: len([]rune(w.sql[:w.toks[at].Start])) + 1,
			}
		}
		if w.is(at, ",") {
			at++
		}
	}
	return nil
}

// endBlock is COMMIT and ROLLBACK.
func (s *Session) endBlock(ctx context.Context, w words, commit bool) error {
	chain := w.has("chain") && !w.has("no")
	tag := "COMMIT"
	begin, state := s.tx.begin, s.state
	var err error
	if !s.tx.block {
		if chain {
			return wire.Errorf(wire.CodeNoActiveSQLTransaction, "COMMIT AND CHAIN can only be used in transaction blocks")
		}
		if err := s.notice(wire.SeverityWarning, wire.CodeNoActiveSQLTransaction, "there is no transaction in progress"); err != nil {
			return err
		}
	}
	switch {
	case !commit || s.tx.failed:
		tag = "ROLLBACK"
		err = s.rollback()
	case s.tx.open():
		err = s.commit(ctx)
	}
	if err != nil {
		return err
	}
	if chain {
		s.begin(begin, true)
		s.tx.state.InTransaction = false
		s.state.ReadOnly = state.ReadOnly
	}
	return s.tagged(tag)
}

// setTransaction is SET TRANSACTION and SET SESSION CHARACTERISTICS.
func (s *Session) setTransaction(ctx context.Context, w words) error {
	if w.is(1, "session") {
		// SET SESSION CHARACTERISTICS AS TRANSACTION modes
		if err := checkModes(w, 5); err != nil {
			return err
		}
		if w.has("read") && (w.has("only") || w.has("write")) {
			s.state.ReadOnly = w.has("only")
		}
		return s.change(ctx, "session characteristics", w.sql)
	}
	if w.is(2, "snapshot") {
		return refuse("snapshots of one server have no meaning on several shards", "use BEGIN ISOLATION LEVEL REPEATABLE READ")
	}
	if err := checkModes(w, 2); err != nil {
		return err
	}
	if !s.tx.open() {
		if err := s.notice(wire.SeverityWarning, wire.CodeNoActiveSQLTransaction, "SET TRANSACTION can only be used in transaction blocks"); err != nil {
			return err
		}
		return s.tagged("SET")
	}
	for _, l := range s.parts() {
		if _, err := l.exec(w.sql); err != nil {
			return err
		}
	}
	s.tx.replay = append(s.tx.replay, replayed{sql: w.sql})
	if w.has("read") && (w.has("only") || w.has("write")) {
		s.state.ReadOnly = w.has("only")
	}
	return s.tagged("SET")
}

// savepoint is SAVEPOINT, RELEASE and ROLLBACK TO, on every shard of the transaction; one
// that joins later is given the savepoints that there are.
func (s *Session) savepoint(w words) error {
	name := w.ident(len(w.toks) - 1)
	tag := map[bool]string{true: "ROLLBACK", false: "RELEASE"}[w.is(0, "rollback")]
	if w.is(0, "savepoint") {
		tag = "SAVEPOINT"
	}
	if !s.tx.block {
		what := map[string]string{"SAVEPOINT": "SAVEPOINT", "RELEASE": "RELEASE SAVEPOINT", "ROLLBACK": "ROLLBACK TO SAVEPOINT"}[tag]
		return wire.Errorf(wire.CodeNoActiveSQLTransaction, "%s can only be used in transaction blocks", what)
	}
	at := -1
	for i, r := range s.tx.replay {
		if r.savepoint == name && r.savepoint != "" {
			at = i
		}
	}
	if tag != "SAVEPOINT" && at < 0 {
		return wire.Errorf("3B001", "savepoint %q does not exist", name)
	}
	for _, l := range s.parts() {
		if l.dead {
			continue
		}
		if _, err := l.exec(w.sql); err != nil {
			return err
		}
	}
	switch tag {
	case "SAVEPOINT":
		s.tx.replay = append(s.tx.replay, replayed{savepoint: name, sql: "SAVEPOINT " + quoteIdent(name), settings: s.settings, state: s.state, deferred: len(s.tx.deferred)})
	case "RELEASE":
		kept := s.tx.replay[:at:at]
		for _, r := range s.tx.replay[at:] {
			if r.savepoint == "" {
				kept = append(kept, r)
			}
		}
		s.tx.replay = kept
	default:
		r := s.tx.replay[at]
		started := s.state.Started
		s.settings, s.state = r.settings, r.state
		s.state.Started = started
		s.tx.replay = s.tx.replay[:at+1]
		s.tx.deferred = s.tx.deferred[:r.deferred]
		s.tx.failed = false
		for _, l := range s.parts() {
			if l.dead {
				s.tx.failed = true
				return wire.Errorf(wire.CodeConnectionFailure, "the connection to shard %d was lost: only ROLLBACK is possible", l.shard)
			}
		}
	}
	return s.tagged(tag)
}
