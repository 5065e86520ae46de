package reshard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// apply queues what one change is on each shard.
func (s *streamer) apply(ctx context.Context, ch replication.Change) error {
	if m, ok := ch.Message.(*pgoutput.Truncate); ok {
		return s.truncate(ctx, m)
	}
	if m, ok := ch.Message.(*pgoutput.Relation); ok {
		r, err := s.relation(m)
		if err != nil {
			return err
		}
		s.byOID[m.OID] = nil
		if r != nil {
			s.byOID[m.OID] = r.t
		}
		return nil
	}
	switch ch.Message.(type) {
	case *pgoutput.Insert, *pgoutput.Update, *pgoutput.Delete:
	default:
		return nil
	}
	r, err := s.relation(ch.Relation)
	if r == nil || err != nil {
		return err
	}
	switch m := ch.Message.(type) {
	case *pgoutput.Insert:
		return s.insert(r, owned(m.New))
	case *pgoutput.Update:
		m.Old, m.New = owned(m.Old), owned(m.New)
		return s.update(ctx, r, m)
	case *pgoutput.Delete:
		m.Old = owned(m.Old)
		return s.remove(r, m)
	}
	return nil
}

// owned moves a tuple's values out of the buffer that the next change is read into.
func owned(t pgoutput.Tuple) pgoutput.Tuple {
	n := 0
	for i := range t {
		n += len(t[i].Data)
	}
	buf := make([]byte, 0, n)
	for i := range t {
		if t[i].Data != nil {
			at := len(buf)
			buf = append(buf, t[i].Data...)
			t[i].Data = buf[at:len(buf):len(buf)]
		}
	}
	return t
}

// relation finds what is known of a table; nil if its changes do not count, since another source shard has
// the same rows.
func (s *streamer) relation(of *pgoutput.Relation) (*relation, error) {
	if r, ok := s.relations[of]; ok {
		return r, nil
	}
	var r *relation
	n := name{of.Schema, of.Name}
	if of.Schema == "" {
		n.schema = "pg_catalog"
	}
	if t := s.tables[n]; t != nil {
		var err error
		if r, err = relate(of, t); err != nil {
			return nil, err
		}
	} else if n.schema != Schema && !s.omni[n] {
		return nil, finalError{fmt.Errorf("table %s has come to the publication since the move began; make it on the destination too and start again", n)}
	}
	s.relations[of] = r
	return r, nil
}

// row queues a statement for a shard, if it has not got the change yet.
func (s *streamer) row(r *relation, shard int, sql string, params [][]byte, one bool) {
	a := s.appliers[shard]
	if !a.wants(r.t, s.final) {
		return
	}
	st := statement{sql: sql, params: params}
	if one {
		st.one = r
	}
	a.add(st)
}

// all are the shards that have rows of a table that is not divided by a key.
func (s *streamer) all(t *table) []int { return t.targets(len(s.appliers)) }

func (s *streamer) insert(r *relation, row pgoutput.Tuple) error {
	sql, params := r.insert(row)
	if r.t.key == nil {
		for _, d := range s.all(r.t) {
			s.row(r, d, sql, params, false)
		}
		return nil
	}
	shard, ok, err := r.shard(row)
	if err != nil {
		return err
	}
	if !ok {
		return finalError{fmt.Errorf("a new row of table %s came without its sharding key", r.t)}
	}
	s.row(r, shard, sql, params, false)
	return nil
}

func (s *streamer) remove(r *relation, m *pgoutput.Delete) error {
	sql, params := r.remove(m.Old)
	switch {
	case r.t.key == nil:
		for _, d := range s.all(r.t) {
			s.row(r, d, sql, params, true)
		}
	case !r.t.identified():
		// The identity is unique, since there is one source shard, but does not say which shard has the row.
		for d := range s.appliers {
			s.row(r, d, sql, params, false)
		}
	default:
		shard, _, err := r.shard(m.Old)
		if err != nil {
			return err
		}
		s.row(r, shard, sql, params, true)
	}
	return nil
}

func (s *streamer) update(ctx context.Context, r *relation, m *pgoutput.Update) error {
	old := m.Old
	if old == nil {
		old = m.New // the identity did not change
	}
	row := completed(m.New, old, m.Full)
	again := m.Old != nil && r.renumbered(old, row)
	if r.t.key == nil {
		for _, d := range s.all(r.t) {
			if again && s.appliers[d].wants(r.t, s.final) {
				if err := s.move(ctx, r, old, row, []int{d}, d); err != nil {
					return err
				}
			} else if sql, params, ok := r.update(old, row); ok {
				s.row(r, d, sql, params, true)
			}
		}
		return nil
	}
	to, ok, err := r.shard(row)
	switch {
	case err != nil:
		return err
	case !r.t.identified():
		if !ok {
			return finalError{fmt.Errorf("the sharding key of a row of table %s is a large value that came without change: where the row is cannot be told; ALTER TABLE %s REPLICA IDENTITY FULL on the source", r.t, r.t)}
		}
		return s.updateSomewhere(ctx, r, old, row, to)
	}
	from, _, err := r.shard(old)
	if err != nil {
		return err
	}
	if !ok {
		to = from // the key is a large value that did not change
	}
	if from == to && !again {
		if sql, params, ok := r.update(old, row); ok {
			s.row(r, to, sql, params, true)
		}
		return nil
	}
	if from != to && len(unchanged(row)) == 0 {
		sql, params := r.remove(old)
		s.row(r, from, sql, params, true)
		sql, params = r.insert(row)
		s.row(r, to, sql, params, false)
		return nil
	}
	return s.move(ctx, r, old, row, []int{from}, to)
}

// updateSomewhere changes a row of which it is not known where it was: with all its values it is taken away
// wherever it is, and written where it belongs.
func (s *streamer) updateSomewhere(ctx context.Context, r *relation, old, row pgoutput.Tuple, to int) error {
	if len(unchanged(row)) == 0 {
		sql, params := r.remove(old)
		for d := range s.appliers {
			s.row(r, d, sql, params, false)
		}
		sql, params = r.insert(row)
		s.row(r, to, sql, params, false)
		return nil
	}
	var others []int
	for d := range s.appliers {
		if d != to {
			others = append(others, d)
		}
	}
	if a := s.appliers[to]; a.wants(r.t, s.final) {
		sql, params, ok := r.update(old, row)
		if !ok {
			return nil // nothing that could have moved it
		}
		_, n, err := a.ask(ctx, sql, params)
		if err != nil || n == 1 {
			return err
		}
	}
	return s.move(ctx, r, old, row, others, to)
}

// move takes a row away from one of some shards and writes it to another one (which may be the same),
// although the source has not sent its large values that did not change: they are taken from the row that
// goes. In the transaction that takes it away they are kept, so that if only that one commits, the other
// shard gets them when the change comes again.
func (s *streamer) move(ctx context.Context, r *relation, old, row pgoutput.Tuple, from []int, to int) error {
	missing := unchanged(row)
	var cols, elems []string
	for i, at := range missing {
		cols = append(cols, r.column(at)+"::text")
		elems = append(elems, fmt.Sprintf("$%d::text", i+4))
	}
	place := [][]byte{[]byte(s.slot.name), []byte(s.final.String()), fmt.Append(nil, s.change)}
	sql, params := r.remove(old)
	if len(missing) > 0 {
		sql += " RETURNING " + strings.Join(cols, ", ")
	}
	var values [][]byte
	found := false
	for _, d := range from {
		a := s.appliers[d]
		if !a.wants(r.t, s.final) {
			// It has gone from there already, with a transaction that did not come as far elsewhere.
			var read []string
			for i := range missing {
				read = append(read, fmt.Sprintf("columns[%d]", i+1))
			}
			rows, _, err := a.ask(ctx, "SELECT "+strings.Join(append(read, "true"), ", ")+" FROM "+Schema+".moved WHERE slot = $1 AND lsn = $2 AND change = $3", place)
			if err != nil {
				return err
			}
			if len(rows) == 1 {
				values, found = rows[0][:len(missing)], true
			}
			continue
		}
		rows, n, err := a.ask(ctx, sql, params)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		found = true
		if len(missing) == 0 {
			continue
		}
		values = rows[0]
		_, _, err = a.ask(ctx, "INSERT INTO "+Schema+".moved VALUES ($1, $2, $3, ARRAY["+strings.Join(elems, ", ")+"])", append(slices.Clone(place), values...))
		if err != nil {
			return err
		}
	}
	if !s.appliers[to].wants(r.t, s.final) {
		return nil
	}
	if !found {
		return finalError{fmt.Errorf("table %s has no row with %s, where the source has one: it was changed there by somebody else", r.t, r.describe(params))}
	}
	row = slices.Clone(row)
	for i, at := range missing {
		row[at] = pgoutput.Value{Kind: pgoutput.Text, Data: values[i]}
		if values[i] == nil {
			row[at] = pgoutput.NullValue()
		}
	}
	sql, params = r.insert(row)
	s.row(r, to, sql, params, false)
	return nil
}

// truncate empties tables.
func (s *streamer) truncate(ctx context.Context, m *pgoutput.Truncate) error {
	var whole []*table
	for _, oid := range m.RelationOIDs {
		t, known := s.byOID[oid]
		if known && t == nil {
			continue // another source shard has the same rows
		}
		if !known {
			return finalError{fmt.Errorf("a TRUNCATE names a table that was not described (%d)", oid)}
		}
		if s.several && t.key != nil && !s.alone(t) {
			for d := range s.appliers {
				if err := s.truncatePart(ctx, t, d); err != nil {
					return err
				}
			}
			continue
		}
		whole = append(whole, t)
	}
	for d, a := range s.appliers {
		var names []string
		for _, t := range whole {
			if slices.Contains(s.all(t), d) && a.wants(t, s.final) {
				names = append(names, t.only())
			}
		}
		if len(names) == 0 {
			continue
		}
		sql := "TRUNCATE " + strings.Join(names, ", ")
		if m.RestartIdentity {
			sql += " RESTART IDENTITY"
		}
		if m.Cascade {
			sql += " CASCADE"
		}
		a.add(statement{sql: sql})
	}
	return nil
}

// alone reports whether all rows of a table come from this source shard.
func (s *streamer) alone(t *table) bool {
	p := t.sourcePlacement(s.m.Source.Layout)
	return p.Pinned || p.Omni()
}

// truncatePart takes the rows of this source shard, which are those whose key it has in the source's
// layout, away from a shard that has others' too.
func (s *streamer) truncatePart(ctx context.Context, t *table, shard int) error {
	a := s.appliers[shard]
	if !a.wants(t, s.final) {
		return nil
	}
	key := t.sourcePlacement(s.m.Source.Layout).Key
	if key == nil {
		return finalError{fmt.Errorf("table %s was truncated on one of several source shards, whose rows cannot be told apart", t)}
	}
	var cols, conds []string
	var types []hash.OID
	for i, c := range key.Columns {
		at := slices.IndexFunc(t.columns, func(col column) bool { return col.name == c })
		if at < 0 {
			return finalError{fmt.Errorf("the publication leaves out the column %q, by which the table %s is divided", c, t)}
		}
		types = append(types, t.columns[at].oid)
		cols = append(cols, ident(c)+"::text")
		conds = append(conds, fmt.Sprintf(`%s::text IS NOT DISTINCT FROM $%d::text`, ident(c), i+1))
	}
	key, err := key.WithTypes(types)
	if err != nil {
		return finalError{err}
	}
	cursor := fmt.Sprintf("DECLARE pgx_dev_truncate NO SCROLL CURSOR FOR SELECT DISTINCT %s FROM %s", strings.Join(cols, ", "), t.only())
	if _, _, err := a.ask(ctx, cursor, nil); err != nil {
		return err
	}
	sql := fmt.Sprintf("DELETE FROM %s WHERE %s", t.only(), strings.Join(conds, " AND "))
	for {
		rows, _, err := a.ask(ctx, "FETCH 1000 FROM pgx_dev_truncate", nil)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			values := make([]sharding.Raw, len(types))
			for i := range values {
				values[i] = sharding.Raw{Type: types[i], Bytes: r[i], Null: r[i] == nil}
			}
			from, err := key.Place(values, nil)
			if err != nil && !errors.Is(err, sharding.ErrUnmapped) {
				return finalError{fmt.Errorf("table %s: %w", t, err)}
			}
			if err == nil && from == s.shard {
				a.add(statement{sql: sql, params: r})
			}
		}
	}
	_, _, err = a.ask(ctx, "CLOSE pgx_dev_truncate", nil)
	return err
}
