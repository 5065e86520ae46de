package scatter_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
)

// wasmPair is one WebAssembly server with everything, and shards of as many others.
func wasmPair(t *testing.T, n int) *pair {
	t.Helper()
	engine := wasm.New(wasm.DefaultConfig())
	start := func() engines.Server {
		srv, err := engine.Start(t.Context(), engines.Spec{Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Close(context.Background()) })
		return srv
	}
	whole := start()
	w, err := engines.Connect(t.Context(), whole, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	pool := &servers{idle: make([][]*conn, n)}
	for range n {
		srv := start()
		pool.shards = append(pool.shards, &server{dial: srv.Dial, user: srv.Info().User, database: srv.Info().Database})
	}
	f := newFleetOver(t, whole, pool, nil)
	return &pair{w.PgConn(), f.connect().PgConn(), f}
}

// TestWasm gives statements to one WebAssembly server and to 2 and 3 shards of such servers.
// For every day that are some files of the corpus over 2 shards and some random queries; all
// files, modes and numbers are for "just shard-wasm".
func TestWasm(t *testing.T) {
	long := count(t, 0) > 0
	refused := map[string]int{}
	total := 0
	for _, n := range []int{2, 3} {
		if !long && n > 2 {
			continue
		}
		for _, m := range []mode{simpleMode, textMode, binaryMode} {
			if !long && m != textMode {
				continue
			}
			p := wasmPair(t, n)
			p.both(t, routetest.Schema)
			p.both(t, routetest.Rows()...)
			p.random(t, min(2000, count(t, 60)), routetest.New(uint64(n), uint64(m)).Query, refused, &total)
			files, err := filepath.Glob("testdata/corpus/*.sql")
			if err != nil || len(files) == 0 {
				t.Fatal("there is no corpus")
			}
			for _, file := range files {
				base := filepath.Base(file)
				if base == "multi.sql" && m != simpleMode || !long && !slices.Contains([]string{"set.sql", "write.sql", "cursor.sql", "transaction.sql"}, base) {
					continue
				}
				p.file(t, m, file, refused, &total)
				if t.Failed() {
					t.Fatalf("%s over %d shards (%v)", base, n, m)
				}
			}
			p.f.pool.close()
			_ = p.shards.Close(t.Context())
			_ = p.whole.Close(t.Context())
		}
	}
	sum := 0
	for why, n := range refused {
		t.Logf("refused %d: %s", n, why)
		sum += n
	}
	t.Logf("%d statements, %d refused", total, sum)
	if sum*20 > total {
		t.Errorf("%d of %d statements were refused", sum, total)
	}
}
