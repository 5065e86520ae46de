package route

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// FuzzRoute plans anything: no panic, no long time, and always the same.
func FuzzRoute(f *testing.F) {
	files, err := filepath.Glob("testdata/route/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for entry := range strings.SplitSeq(string(data), "\n\n") {
			sql, _, _ := strings.Cut(entry, "\n=>")
			f.Add(sql)
		}
	}
	r := testRouter(f)
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 10_000 {
			return
		}
		start := time.Now()
		var d Decision
		first := decideText(r, &d, sql)
		if again := decideText(r, &d, sql); again != first {
			t.Fatalf("first:\n%s\nthen:\n%s", first, again)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("%v", took)
		}
		parts, err := Split(sql)
		if err != nil {
			return
		}
		at := 0
		for _, p := range parts {
			if p.From < at || p.To < p.From || p.To > len(sql) {
				t.Fatalf("statement %v after %d", p, at)
			}
			at = p.To
			err := r.Route(&d, sql[p.From:p.To], &Session{Hint: NoHint()}, nil)
			var known *wire.Error
			var need *sharding.NeedLookup
			if err != nil && !errors.As(err, &known) && !errors.As(err, &need) {
				t.Fatalf("%q: %v", sql[p.From:p.To], err)
			}
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	r := testRouter(b)
	s := &Session{Hint: NoHint()}
	bind := &Binding{Values: [][]byte{[]byte("123456")}}
	run := func(name, sql string, bind *Binding) {
		b.Run(name, func(b *testing.B) {
			var d Decision
			if err := r.Route(&d, sql, s, bind); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Route(&d, sql, s, bind); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("text", "SELECT email, country FROM users WHERE id = $1", bind)
	run("key", "SELECT email, country FROM users WHERE id = 123456", nil)
	run("insert10", "INSERT INTO users (id, email) VALUES (1,'a'),(2,'b'),(3,'c'),(4,'d'),(5,'e'),(6,'f'),(7,'g'),(8,'h'),(9,'i'),(10,'j')", nil)
	miss := func(name, sql string) {
		b.Run(name, func(b *testing.B) {
			var sc lex.Scanner
			if err := sc.Scan(sql); err != nil {
				b.Fatal(err)
			}
			pb := &builder{layout: r.cfg.Layout, snap: r.state.Load().snap, path: publicPath}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pb.plan(sql, sc.Tokens); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	miss("miss", "SELECT email, country FROM users WHERE id = 123456")
	miss("missjoin", "SELECT u.email, sum(p.amount) FROM users u JOIN payments p ON p.user_id = u.id WHERE u.country = 3 GROUP BY u.email HAVING sum(p.amount) > 5 ORDER BY 2 DESC LIMIT 10")
}

// TestAllocations holds the fast path to no allocation at all.
func TestAllocations(t *testing.T) {
	r := testRouter(t)
	s := &Session{Hint: NoHint()}
	bind := &Binding{Values: [][]byte{[]byte("123456")}}
	for sql, bind := range map[string]*Binding{
		"SELECT email FROM users WHERE id = $1":                bind,
		"SELECT email FROM users WHERE id = 123456":            nil,
		"UPDATE users SET email = 'x' WHERE id = 123456":       nil,
		"INSERT INTO users (id, email) VALUES (5, 'somebody')": nil,
		"SELECT 1": nil,
	} {
		var d Decision
		if got := testing.AllocsPerRun(100, func() {
			if err := r.Route(&d, sql, s, bind); err != nil {
				t.Fatal(err)
			}
		}); got > 0 {
			t.Errorf("%s: %v allocations", sql, got)
		}
	}
}
