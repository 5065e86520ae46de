package merge

import (
	"bytes"
	"context"
)

// entryOverhead is about what a map entry takes besides its key.
const entryOverhead = 64

// unique passes the first of all rows that are equal in some columns.
type unique struct {
	source source
	by     *keyer
	joined bool // equal rows come one after the other
	budget *budget
	seen   map[string]struct{}
	values [][]byte
	key    []byte
	last   []byte // the last key that was passed, if joined
	any    bool
}

func (u *unique) next(ctx context.Context) (row, error) {
	for {
		if err := ctx.Err(); err != nil {
			return row{}, err
		}
		r, err := u.source.next(ctx)
		if err != nil || r.body == nil {
			return r, err
		}
		if u.values, err = split(u.values, r.body, u.by.reach, u.by.count); err != nil {
			return row{}, err
		}
		if u.key, err = u.by.append(u.key[:0], u.values); err != nil {
			return row{}, err
		}
		if u.joined {
			if u.any && bytes.Equal(u.key, u.last) {
				continue
			}
			u.any = true
			u.last = append(u.last[:0], u.key...)
			return r, nil
		}
		if _, ok := u.seen[string(u.key)]; ok {
			continue
		}
		if err := u.budget.take(len(u.key) + entryOverhead); err != nil {
			return row{}, err
		}
		u.seen[string(u.key)] = struct{}{}
		return r, nil
	}
}
