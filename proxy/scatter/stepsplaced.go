package scatter

import (
	"context"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// placed runs a step on the shards of the rows of an earlier one, each with those that belong there. It
// returns the rows that the servers returned, and how many they wrote.
func (s *Session) placed(ctx context.Context, x route.Staged, plan *route.Plan, q *request, types []uint32, done []*stepRows, results []wire.Format) (returned [][]byte, n uint64, err error) {
	p := x.Step.Place
	all := done[p.Rows]
	byShard := map[int][][][]byte{}
	for _, row := range all.rows {
		key := make([]sharding.Raw, len(p.At))
		for i, at := range p.At {
			key[i] = sharding.Raw{Type: hash.OID(all.fields[at].TypeOID), Bytes: row[at], Null: row[at] == nil}
		}
		p.Fit.Apply(key)
		shard, err := s.place(ctx, p.Key, key)
		if err != nil {
			return nil, 0, err
		}
		byShard[shard] = append(byShard[shard], row)
	}
	own := slices.Clone(done)
	for shard := range s.ex.cfg.Layout.Shards {
		for rows := range slices.Chunk(byShard[shard], batchRows) {
			part := *all
			part.rows = rows
			own[p.Rows] = &part
			sub, err := s.stepText(x, q, types, own, results)
			if err != nil {
				return nil, 0, err
			}
			one := route.Decision{Plan: plan, Shards: sharding.One(shard), Role: route.Primary, Limit: -1}
			a, err := s.gather(ctx, &one, sub)
			if err != nil {
				return nil, 0, unplaced(err)
			}
			kept, err := s.store(ctx, a)
			if err != nil {
				return nil, 0, unplaced(err)
			}
			tag, err := a.tag()
			if err == nil && x.Step.Returns {
				err = s.sameFields(q, a)
			}
			if err != nil {
				return nil, 0, unplaced(err)
			}
			returned, n = append(returned, kept...), n+affected(tag)
		}
	}
	return returned, n, nil
}

// sameFields checks that an answer has the columns that the client's own statement has.
func (s *Session) sameFields(q *request, a *answer) error {
	same := len(a.fields) == len(q.st.fields)
	for i := range a.fields {
		same = same && a.fields[i].TypeOID == q.st.fields[i].TypeOID && a.fields[i].Name == q.st.fields[i].Name
	}
	if !same {
		return refuse("the rows that steps of the statement return have columns of other types than its own", "return columns rather than whole rows")
	}
	return nil
}
