package scatter

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// defaultLookups is how many results of lookup queries are kept unless it is said.
const defaultLookups = 100_000

// lookups are the results of lookup queries that all sessions share. It is safe for
// concurrent use.
type lookups struct {
	most   int
	tables []string // that the queries read

	hits, misses, queries, took atomic.Int64 // took: nanoseconds

	mu      sync.RWMutex
	found   map[lookupKey][]byte
	bytes   int64 // of what is in found, about
	evicted int64
	// generation counts what made results stale, so that one that was asked for before is not
	// kept after it.
	generation uint64
}

type lookupKey struct{ query, value string }

// newLookups makes the memory of a layout's lookups.
func newLookups(layout *sharding.Layout, most int) *lookups {
	if most == 0 {
		most = defaultLookups
	}
	k := &lookups{most: max(0, most), found: map[lookupKey][]byte{}}
	for _, key := range layout.Keys() {
		w, err := scan(key.Query())
		if err != nil {
			continue
		}
		for i := range w.toks {
			if w.is(i, "from", "join") {
				name := w.ident(i + 1)
				if w.is(i+2, ".") {
					name = w.ident(i + 3)
				}
				k.tables = append(k.tables, name)
			}
		}
	}
	return k
}

func (k *lookups) get(key lookupKey) ([]byte, bool) {
	k.mu.RLock()
	v, ok := k.found[key]
	k.mu.RUnlock()
	if ok {
		k.hits.Add(1)
	} else {
		k.misses.Add(1)
	}
	return v, ok
}

// LookupStats are what the lookup queries of an executor have come to since it was made.
type LookupStats struct {
	// Entries are the results that are kept now, Bytes about how much memory they take.
	Entries int
	Bytes   int64
	// Hits and Misses are keys that were found among them or not, Evictions results that others
	// took the place of. Queries were asked, for Time in all.
	Hits, Misses, Evictions, Queries int64
	Time                             time.Duration
}

// Lookups returns them.
func (e *Executor) Lookups() LookupStats {
	k := e.lookups
	k.mu.RLock()
	defer k.mu.RUnlock()
	return LookupStats{
		Entries: len(k.found), Bytes: k.bytes, Evictions: k.evicted,
		Hits: k.hits.Load(), Misses: k.misses.Load(), Queries: k.queries.Load(), Time: time.Duration(k.took.Load()),
	}
}

// size is about what a result takes, in bytes; the text of its query is shared.
func (k lookupKey) size(result []byte) int64 { return int64(len(k.value) + len(result) + 64) }

func (k *lookups) now() uint64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.generation
}

// put keeps a result that was asked for in a generation.
func (k *lookups) put(key lookupKey, result []byte, generation uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.most == 0 || k.generation != generation {
		return
	}
	if len(k.found) >= k.most {
		for old := range k.found {
			k.bytes -= old.size(k.found[old])
			k.evicted++
			delete(k.found, old)
			break
		}
	}
	if old, ok := k.found[key]; ok {
		k.bytes -= key.size(old)
	}
	k.found[key] = result
	k.bytes += key.size(result)
}

func (k *lookups) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.generation++
	k.bytes = 0
	clear(k.found)
}

// reads reports whether a statement names a table that lookups read.
func (k *lookups) reads(sql string) bool {
	if len(k.tables) == 0 {
		return false
	}
	w, err := scan(sql)
	return err != nil || slices.ContainsFunc(w.toks, func(t lex.Token) bool {
		return (t.Kind == lex.Word || t.Kind == lex.Quoted) && slices.Contains(k.tables, t.Ident(w.sql))
	})
}

// A sessionLookups is what one statement has found out beside what is shared. Whatever the
// shared memory forgets meanwhile, the statement can be routed.
type sessionLookups struct {
	shared *lookups
	// private says that the transaction has written what lookups read: what it sees is not for
	// others, and what others saw is not for it.
	private bool
	own     map[lookupKey][]byte
}

// Lookup implements sharding.Lookups.
func (k *sessionLookups) Lookup(query string, value []byte) ([]byte, bool) {
	key := lookupKey{query, string(value)}
	if v, ok := k.own[key]; ok {
		return v, true
	}
	if k.private {
		return nil, false
	}
	return k.shared.get(key)
}

// lookup asks for the shard of a key. A key that is not there is an error, and not remembered.
func (s *Session) lookup(ctx context.Context, need *sharding.NeedLookup) error {
	if err := s.settle(); err != nil {
		return err
	}
	// Its answer is waited for, which must not end what a pipeline has begun.
	if err := s.promote(); err != nil {
		return err
	}
	if s.lookingUp {
		return refuse("the lookup query reads a table whose own shard has to be looked up", "keep the table that the lookup query reads on every shard")
	}
	s.lookingUp = true
	defer func() { s.lookingUp = false }()
	generation := s.ex.lookups.now()
	began := time.Now()
	values, err := s.lookUp(ctx, need)
	s.ex.lookups.queries.Add(1)
	s.ex.lookups.took.Add(int64(time.Since(began)))
	switch {
	case err != nil:
		return err
	case values == nil:
		return wire.Errorf(wire.CodeCheckViolation, "the lookup of sharding key %q found no row", need.Value)
	case len(values) == 0 || values[0] == nil:
		return wire.Errorf(wire.CodeCheckViolation, "the lookup of sharding key %q gave no value", need.Value)
	}
	key := lookupKey{need.Query, string(need.Value)}
	if len(s.found.own) >= 1000 {
		clear(s.found.own)
	}
	s.found.own[key] = values[0]
	// What an older snapshot says may be out of date.
	if !s.found.private && !strings.Contains(strings.ToLower(s.tx.begin), "isolation") && len(s.tx.replay) == 0 {
		s.ex.lookups.put(key, values[0], generation)
	}
	return nil
}

// lookUp runs the lookup query and returns its first row, nil if there is none.
func (s *Session) lookUp(ctx context.Context, need *sharding.NeedLookup) ([][]byte, error) {
	q := &request{sql: need.Query, extended: true, values: [][]byte{need.Value}}
	var d route.Decision
	if err := s.decide(ctx, &d, q); err != nil {
		return nil, err
	}
	d.Role = route.Primary
	stop := s.limit()
	a, err := s.source(ctx, &d, q)
	var values [][]byte
	if err == nil {
		var body []byte
		switch body, err = a.next(ctx); {
		case errors.Is(err, io.EOF):
			_, err = a.tag()
		case err == nil:
			if values, err = columnsOf(nil, append([]byte(nil), body...)); values == nil {
				values = [][]byte{}
			}
			a.stop(nil)
		}
	}
	if stop() && err != nil && !broken(err) {
		e := wire.Errorf(wire.CodeQueryCanceled, "the lookup of sharding key %q took longer than %s", need.Value, s.ex.cfg.LookupTimeout)
		e.Hint = "Index the column that the lookup query compares, or raise sharding_lookup_timeout."
		return nil, e
	}
	return values, err
}

// limit cancels what the session's servers do once a lookup takes too long. stop reports
// whether it has, with the servers at rest.
func (s *Session) limit() (stop func() bool) {
	if s.ex.cfg.LookupTimeout <= 0 {
		return func() bool { return false }
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.ex.cfg.LookupTimeout)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.Cancel(context.Background())
		}
	}()
	return func() bool {
		cancel()
		<-done
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return false
		}
		// The request may reach a server after its query: one that does nothing takes it.
		for _, l := range s.links {
			if l != nil && !l.dead && !l.busy() && !l.unsynced {
				if _, err := l.exec(";"); err != nil && !l.dead {
					_, _ = l.exec(";")
				}
			}
		}
		return true
	}
}

// lookAside looks a key up on a connection of its own, while the session's are in a COPY.
func (s *Session) lookAside(ctx context.Context, need *sharding.NeedLookup) error {
	if s.found.private {
		return refuse("COPY into a table whose shards are looked up, in a transaction that has written the table which tells them", "commit that first")
	}
	side := s.ex.NewSession(wire.NewWriter(io.Discard), Options{Settings: s.settings, Path: s.state.Path, Hint: route.NoHint(), Reported: s.reported})
	defer side.Close()
	if err := side.lookup(ctx, need); err != nil {
		return err
	}
	if len(s.found.own) >= 1000 {
		clear(s.found.own)
	}
	maps.Copy(s.found.own, side.found.own)
	return nil
}

// noteLookups notes that a statement may change what lookups read.
func (s *Session) noteLookups(d *route.Decision, sql string) {
	if d.Plan.Write && s.ex.lookups.reads(sql) {
		clear(s.found.own)
		s.found.private = true
	}
}

// settleLookups ends what noteLookups has begun, once the transaction is over.
func (s *Session) settleLookups() {
	if s.found.private && s.tx.none() {
		s.found.private = false
		s.ex.lookups.clear()
	}
}
