package scatter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
)

// nobody has no servers.
type nobody struct{}

func (nobody) Acquire(context.Context, int, route.Role, *scatter.Settings) (scatter.Conn, error) {
	return nil, errors.New("there is no server")
}
func (nobody) Release(scatter.Conn, *scatter.Settings) {}
func (nobody) Discard(scatter.Conn)                    {}

// passed is what a client gets.
type passed struct {
	b   []byte
	out []byte
}

func (p *passed) Pass(from, to int)     { p.out = append(p.out, p.b[from:to]...) }
func (p *passed) Put(m []byte)          { p.out = append(p.out, m...) }
func (p *passed) Reported(_, _ string)  {}
func (p *passed) Failed()               {}
func (p *passed) take(b []byte) *passed { p.b, p.out = b, p.out[:0]; return p }

func messages(t testing.TB, list ...wire.Message) (out []byte) {
	t.Helper()
	for _, m := range list {
		var err error
		if out, err = wire.Append(out, m); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// lonely is a session without servers, which has prepared a statement, and whose router knows it.
func lonely(t testing.TB) (*scatter.Session, *sharding.Layout) {
	t.Helper()
	layout, err := sharding.Compile(sharding.Config{Shards: 3, Tables: []sharding.Table{{Name: "users", Columns: []string{"id"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := route.New(route.Config{Layout: layout})
	s := scatter.New(scatter.Config{Router: r, Layout: layout, Servers: nobody{}}).NewSession(wire.NewWriter(io.Discard), scatter.Options{Hint: route.NoHint()})
	for typ, sql := range map[string]string{"": "SELECT email FROM users WHERE id = 1", "s": "SELECT email FROM users WHERE id = $1"} {
		if _, err := r.Prepare(sql, &route.Session{Hint: route.NoHint()}); err != nil {
			t.Fatal(err)
		}
		if typ == "" {
			continue
		}
		for _, m := range []wire.Message{&wire.Parse{Name: typ, SQL: sql}, &wire.Sync{}} {
			b := messages(t, m)
			if err := s.Handle(t.Context(), wire.Type(b[0]), b[wire.HeaderLen:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !s.Resting() {
		t.Fatal("the session does not rest")
	}
	return s, layout
}

// requests are the ways to ask for a row.
func requests(t testing.TB, id int) map[string][]byte {
	bind := func(name string) []wire.Message {
		return []wire.Message{&wire.Bind{Statement: name, Params: [][]byte{fmt.Append(nil, id)}}, &wire.Describe{Kind: wire.PortalKind}, &wire.Execute{}, &wire.Sync{}}
	}
	return map[string][]byte{
		"simple":   messages(t, &wire.Query{SQL: fmt.Sprintf("SELECT email FROM users WHERE id = %d", id)}),
		"extended": messages(t, append([]wire.Message{&wire.Parse{SQL: "SELECT email FROM users WHERE id = $1"}}, bind("")...)...),
		"prepared": messages(t, bind("s")...),
	}
}

func rowFor(t testing.TB, way string) []byte {
	list := []wire.Message{
		&wire.RowDescription{Fields: []wire.Field{{Name: "email", TypeOID: 25, TypeSize: -1, TypeMod: -1}}}, &wire.DataRow{Values: [][]byte{[]byte("user")}},
		&wire.CommandComplete{Tag: "SELECT 1"}, &wire.ReadyForQuery{TxStatus: wire.TxIdle},
	}
	switch way {
	case "extended":
		list = append([]wire.Message{&wire.ParseComplete{}, &wire.BindComplete{}}, list...)
	case "prepared":
		list = append([]wire.Message{&wire.BindComplete{}}, list...)
	}
	return messages(t, list...)
}

// TestDirectAllocates asks for rows in every way: the shard is the key's, whether it comes whole or
// in pieces, and nothing is allocated once the memory is there.
func TestDirectAllocates(t *testing.T) {
	s, _ := lonely(t)
	for way := range requests(t, 0) {
		t.Run(way, func(t *testing.T) {
			var has scatter.Statements
			var p passed
			var out []byte
			first := true
			shards := map[int]bool{}
			for id := range 50 {
				b := requests(t, id)[way]
				for n := range b {
					if _, _, v := s.Direct(b[:n]); v != scatter.Unfinished {
						t.Fatalf("%d of %d bytes: %d", n, len(b), v)
					}
				}
				var d route.Decision
				r := route.New(route.Config{Layout: layoutOf(t)})
				if err := r.Route(&d, fmt.Sprintf("SELECT email FROM users WHERE id = %d", id), &route.Session{Hint: route.NoHint()}, &route.Binding{}); err != nil {
					t.Fatal(err)
				}
				need, n, v := s.Direct(append(b, b...))
				if v != scatter.Direct || n != len(b) || need.Shard != d.Shards.Lowest() {
					t.Fatalf("%d: shard %d, %d bytes, %d", id, need.Shard, n, v)
				}
				shards[need.Shard] = true
				out = s.Begin(&has, out[:0])
				a := rowFor(t, way)
				want := string(a)
				if way == "prepared" && first {
					a = append(messages(t, &wire.ParseComplete{}), a...)
				}
				first = false
				// It comes a byte at a time.
				got, rest := "", []byte(nil)
				for i := range a {
					rest = append(rest, a[i])
					n, done, err := s.Answers(rest, p.take(rest))
					if err != nil || done != (i == len(a)-1) {
						t.Fatalf("%d of %d: %v, %v", i, len(a), done, err)
					}
					got += string(p.out)
					rest = rest[n:]
				}
				if got != want {
					t.Fatalf("the client gets %q, want %q", got, want)
				}
			}
			if len(shards) != 3 {
				t.Errorf("all go to %v", shards)
			}
			b, a := requests(t, 7)[way], rowFor(t, way)
			if allocs := testing.AllocsPerRun(100, func() {
				if _, _, v := s.Direct(b); v != scatter.Direct {
					t.Fatal(v)
				}
				out = s.Begin(&has, out[:0])
				if _, done, err := s.Answers(a, p.take(a)); !done || err != nil {
					t.Fatal(err)
				}
			}); allocs > 0 {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}

func layoutOf(t testing.TB) *sharding.Layout {
	_, l := lonely(t)
	return l
}

// TestIndirect has requests that are for Handle.
func TestIndirect(t *testing.T) {
	s, _ := lonely(t)
	bind := func(b *wire.Bind, more ...wire.Message) []wire.Message {
		return append(append([]wire.Message{b}, more...), &wire.Execute{}, &wire.Sync{})
	}
	one := [][]byte{[]byte("1")}
	for name, list := range map[string][]wire.Message{
		"a text not known":           {&wire.Query{SQL: "SELECT email, id FROM users WHERE id = 1"}},
		"several shards":             {&wire.Query{SQL: "SELECT email FROM users"}},
		"two texts":                  {&wire.Query{SQL: "SELECT email FROM users WHERE id = 1; SELECT email FROM users WHERE id = 1"}},
		"a transaction":              {&wire.Query{SQL: "BEGIN"}},
		"a wrong value":              {&wire.Query{SQL: "SELECT email FROM users WHERE id = 'x'"}},
		"a portal with a name":       bind(&wire.Bind{Portal: "p", Statement: "s", Params: one}),
		"no such statement":          bind(&wire.Bind{Statement: "t", Params: one}),
		"a binary value of any type": bind(&wire.Bind{Statement: "s", Params: one, ParamFormats: []wire.Format{wire.Binary}}),
		"Flush":                      bind(&wire.Bind{Statement: "s", Params: one}, &wire.Flush{}),
		"a description of a statement": bind(&wire.Bind{Statement: "s", Params: one},
			&wire.Describe{Kind: wire.StatementKind, Name: "s"}),
		"a limit":   {&wire.Bind{Statement: "s", Params: one}, &wire.Execute{MaxRows: 1}, &wire.Sync{}},
		"two":       append(bind(&wire.Bind{Statement: "s", Params: one})[:2], bind(&wire.Bind{Statement: "s", Params: one})...),
		"only Sync": {&wire.Sync{}},
		"COPY":      {&wire.CopyDone{}},
		"goodbye":   {&wire.Terminate{}},
		"a name":    {&wire.Parse{Name: "u", SQL: "SELECT email FROM users WHERE id = $1"}, &wire.Sync{}},
	} {
		if _, _, v := s.Direct(messages(t, list...)); v != scatter.Indirect {
			t.Errorf("%s: %d", name, v)
		}
	}
	for _, b := range [][]byte{{'!'}, {'Q', 0, 0, 0, 3}, {'Q', 255, 0, 0, 0}, {'Q', 0, 0, 0, 4}, {'B', 0, 0, 0, 4, 'S', 0, 0, 0, 4}} {
		if _, _, v := s.Direct(b); v == scatter.Direct {
			t.Errorf("%q is direct", b)
		}
	}
}

// FuzzDirect reads anything.
func FuzzDirect(f *testing.F) {
	for _, b := range requests(f, 7) {
		f.Add(b)
	}
	f.Add([]byte("Q\x00\x00\x00\x05\x00"))
	s, _ := lonely(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, n, v := s.Direct(b)
		if n > len(b) || (v == scatter.Direct) != (n > 0) {
			t.Fatalf("%d bytes of %d, %d", n, len(b), v)
		}
	})
}

// FuzzAnswers has a server say anything, in one piece and in two: the client gets the same.
func FuzzAnswers(f *testing.F) {
	for way := range requests(f, 7) {
		f.Add(rowFor(f, way), 9)
	}
	f.Add(messages(f, &wire.ErrorResponse{Error: wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeAdminShutdown, Message: "it ends"}}), 5)
	s, _ := lonely(f)
	ask := requests(f, 7)["prepared"]
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		say := func(parts ...[]byte) (out string, ended bool) {
			var has scatter.Statements
			if _, _, v := s.Direct(ask); v != scatter.Direct {
				t.Fatal(v)
			}
			s.Begin(&has, nil)
			var p passed
			var rest []byte
			for _, part := range parts {
				rest = append(rest, part...)
				n, done, err := s.Answers(rest, p.take(rest))
				if n > len(rest) {
					t.Fatal(n)
				}
				out += string(p.out)
				if rest = rest[n:]; done || err != nil {
					return out, true
				}
			}
			return out, false
		}
		at = max(0, min(at, len(b)))
		// What a server has reported already is not reported again: both begin with the same.
		say(append([]byte(nil), b...))
		whole, ended := say(append([]byte(nil), b...))
		cut, cutEnded := say(append([]byte(nil), b[:at]...), append([]byte(nil), b[at:]...))
		if whole != cut || ended != cutEnded {
			t.Errorf("whole %q, %v; in two %q, %v", whole, ended, cut, cutEnded)
		}
	})
}

// BenchmarkDirect is what it takes to send one request where it belongs and its answer back,
// without the sockets.
func BenchmarkDirect(b *testing.B) {
	s, _ := lonely(b)
	for way, ask := range requests(b, 7) {
		b.Run(way, func(b *testing.B) {
			var has scatter.Statements
			var p passed
			var out []byte
			answer := rowFor(b, way)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, v := s.Direct(ask); v != scatter.Direct {
					b.Fatal(v)
				}
				out = s.Begin(&has, out[:0])
				if _, done, err := s.Answers(answer, p.take(answer)); !done || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
