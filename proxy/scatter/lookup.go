package scatter

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// maxLookups is how many results of lookup queries are kept.
const maxLookups = 100_000

// lookups are the results of lookup queries. It is safe for concurrent use.
type lookups struct {
	mu    sync.RWMutex
	found map[lookupKey][]byte
}

type lookupKey struct{ query, value string }

// Lookup implements sharding.Lookups.
func (k *lookups) Lookup(query string, value []byte) ([]byte, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v, ok := k.found[lookupKey{query, string(value)}]
	return v, ok
}

func (k *lookups) put(query string, value, result []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.found == nil {
		k.found = map[lookupKey][]byte{}
	}
	if len(k.found) >= maxLookups {
		for old := range k.found {
			delete(k.found, old)
			break
		}
	}
	k.found[lookupKey{query, string(value)}] = result
}

func (k *lookups) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.found)
}

// lookup asks a server for the shard of a key. A key that is not there is not remembered as
// such longer than the statement needs it.
func (s *Session) lookup(ctx context.Context, need *sharding.NeedLookup) error {
	if err := s.settle(); err != nil {
		return err
	}
	l, err := s.acquire(ctx, s.sticky, route.Primary)
	if err != nil {
		return err
	}
	b := &branch{l: l, sql: need.Query}
	q := &request{sql: need.Query, extended: true, values: [][]byte{need.Value}}
	if err := b.start(q, nil, nil); err != nil {
		return err
	}
	if err := b.header(); err != nil {
		return err
	}
	body, err := b.Next(ctx)
	if errors.Is(err, io.EOF) {
		return wire.Errorf(wire.CodeCheckViolation, "the lookup of sharding key %q found no row", need.Value)
	}
	if err != nil {
		return err
	}
	values, err := columnsOf(nil, append([]byte(nil), body...))
	b.Stop(nil)
	switch {
	case err != nil:
		return err
	case len(values) == 0 || values[0] == nil:
		return wire.Errorf(wire.CodeCheckViolation, "the lookup of sharding key %q gave no value", need.Value)
	}
	s.ex.lookups.put(need.Query, need.Value, values[0])
	return nil
}
