package scatter

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A locking is a SELECT … FOR UPDATE with a LIMIT that is being carried out.
type locking struct {
	plan    *route.Locking
	q       *request
	types   []uint32 // of the client's parameters
	role    route.Role
	results []wire.Format
	want    uint64            // rows, those that OFFSET skips included
	tried   map[string]bool   // by their identities
	locked  map[string][]byte // the client's rows
	ids     []string          // theirs
	fields  []wire.Field
}

// lockFirst finds rows in order and locks them by their keys, until there are enough: as one server
// does, which locks no more than it returns or skips by OFFSET. Rows that others have locked or
// changed meanwhile are left out, and what comes after them is found anew.
func (s *Session) lockFirst(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	if err := s.lossy(); err != nil {
		return nil, err
	}
	types, err := s.described(ctx, q)
	if err != nil {
		return nil, err
	}
	k := &locking{plan: d.Locking, q: q, types: types, role: d.Role, want: math.MaxInt64, tried: map[string]bool{}, locked: map[string][]byte{}}
	offset := uint64(max(0, d.Offset))
	if d.Limit == 0 {
		return s.nothing(ctx, q, "SELECT 0")
	}
	if d.Limit > 0 {
		k.want = min(uint64(d.Limit)+offset, math.MaxInt64)
	}
	if len(q.results) > 0 {
		if err := s.analysed(ctx, q); err != nil {
			return nil, err
		}
		for i := range q.st.fields {
			k.results = append(k.results, wire.FormatAt(q.results, i))
		}
		k.results = append(k.results, make([]wire.Format, k.plan.Columns)...)
	}
	var order []string
	for most := k.want; ; {
		var all bool
		if order, all, err = s.lockSome(ctx, k, most); err != nil {
			return nil, err
		}
		if all || uint64(len(k.locked)) >= k.want {
			break
		}
		most = min(2*most+16, math.MaxInt64)
	}
	if k.fields == nil {
		return s.nothing(ctx, q, "SELECT 0")
	}
	// Those of an earlier search that the last one has not found are behind all others.
	var rows [][]byte
	for _, id := range append(order, k.ids...) {
		if row, ok := k.locked[id]; ok {
			rows = append(rows, row)
			delete(k.locked, id)
		}
	}
	rows = rows[min(offset, uint64(len(rows))):]
	out := replayRows(rows, fmt.Sprintf("SELECT %d", len(rows)))
	out.fields, out.rows = k.fields, true
	return out, nil
}

// request is one for a text with some of the client's parameters.
func (k *locking) request(sql string, params []int) (*request, error) {
	sub := &request{sql: sql, extended: k.q.extended}
	if !k.q.extended || len(k.q.values) == 0 {
		return sub, nil
	}
	var err error
	sub.types, sub.formats, sub.values, err = parameters(k.q, k.types, slices.Clone(params))
	return sub, err
}

// askLocking runs a text of ours, which is routed by itself.
func (s *Session) askLocking(ctx context.Context, k *locking, sub *request) (*answer, error) {
	var d route.Decision
	if err := s.decide(ctx, &d, sub); err != nil {
		return nil, err
	}
	d.Role = k.role
	return s.source(ctx, &d, sub)
}

// lockSome finds so many rows at most and locks those that have not been tried yet, in order, until
// there are enough. It returns the identities of what it has found, and whether that is all there is.
func (s *Session) lockSome(ctx context.Context, k *locking, most uint64) (order []string, all bool, err error) {
	find := k.plan.Find
	if most < math.MaxInt64 {
		find += " LIMIT " + strconv.FormatUint(most, 10)
	}
	sub, err := k.request(find, k.plan.FindParams)
	if err != nil {
		return nil, false, err
	}
	a, err := s.askLocking(ctx, k, sub)
	if err != nil {
		return nil, false, err
	}
	fields := a.fields
	rows, _, err := s.all(ctx, a)
	if err != nil || len(rows) == 0 {
		return nil, true, err
	}
	l, err := s.typer(ctx)
	if err != nil {
		return nil, false, err
	}
	types, err := s.typeNames(l, fields)
	if err != nil {
		return nil, false, err
	}
	for i, f := range fields {
		types[i] = literalType(f, types[i])
	}
	var next [][][]byte
	for _, row := range rows {
		if slices.ContainsFunc(row, func(v []byte) bool { return v == nil }) {
			return nil, false, refuse("FOR UPDATE with a LIMIT over several shards of a row whose sharding key is NULL", "leave such rows out by a WHERE clause")
		}
		id := identity(row)
		if order = append(order, id); !k.tried[id] {
			next = append(next, row)
		}
	}
	for len(next) > 0 && uint64(len(k.locked)) < k.want {
		n := int(min(uint64(len(next)), k.want-uint64(len(k.locked)), batchRows))
		if err := s.lockRows(ctx, k, next[:n], types); err != nil {
			return nil, false, err
		}
		next = next[n:]
	}
	return order, uint64(len(rows)) < most, nil
}

// lockRows locks rows by their identities.
func (s *Session) lockRows(ctx context.Context, k *locking, rows [][][]byte, types []string) error {
	var text []byte
	for _, p := range k.plan.Lock {
		if p.Kind != gather.Values {
			text = append(text, p.Text...)
			continue
		}
		for i, row := range rows {
			if i > 0 {
				text = append(text, ", "...)
			}
			text = s.appendRow(text, row, types)
			k.tried[identity(row)] = true
		}
	}
	sub, err := k.request(string(text), k.plan.LockParams)
	if err != nil {
		return err
	}
	sub.results = k.results
	a, err := s.askLocking(ctx, k, sub)
	if err != nil {
		s.tx.deadlocked = s.tx.block
		return err
	}
	fields := a.fields
	got, _, err := s.all(ctx, a)
	if err != nil {
		// What other shards have locked would stay so until ROLLBACK, which it does not on one server.
		s.tx.deadlocked = s.tx.block
		return err
	}
	if len(fields) < k.plan.Columns {
		return badRow()
	}
	own := len(fields) - k.plan.Columns
	k.fields = slices.Clone(fields[:own])
	for _, row := range got {
		id := identity(row[own:])
		k.locked[id], k.ids = dataRow(row[:own]), append(k.ids, id)
	}
	return nil
}

// identity is the values of a row's keys, as one string.
func identity(values [][]byte) string {
	var b []byte
	for _, v := range values {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	return string(b)
}

// dataRow is the body of a DataRow.
func dataRow(values [][]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			b = binary.BigEndian.AppendUint32(b, math.MaxUint32)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}
