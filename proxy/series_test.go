package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// TestSkippedStatements has the server skip what would prepare statements, or prepare them anew: who
// uses them next, in a series that is under way already or later, finds them.
func TestSkippedStatements(t *testing.T) { transports(t, testSkippedStatements) }

func testSkippedStatements(t *testing.T) {
	b := newBench(t, startServer(t, engines.Spec{}), proxy.Transaction, pool.Config{Size: 1, Statements: 2}, nil)
	x := b.connect("")
	run(t, x, "CREATE TABLE changes (n int)")
	c := x.PgConn()
	_ = c.Conn().SetDeadline(time.Now().Add(time.Minute))
	front := c.Frontend()
	talk := func(what, want string, list ...[]pgproto3.FrontendMessage) {
		t.Helper()
		ready := 0
		for _, m := range slices.Concat(list...) {
			front.Send(m)
			if _, ok := m.(*pgproto3.Sync); ok {
				ready++
			}
		}
		if err := front.Flush(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for ready > 0 {
			switch m, err := front.Receive(); m := m.(type) {
			case nil:
				t.Fatalf("%s: %s, then %v", what, strings.Join(got, " "), err)
			case *pgproto3.ReadyForQuery:
				ready--
				got = append(got, string(m.TxStatus))
			case *pgproto3.ErrorResponse:
				got = append(got, m.Code)
			case *pgproto3.DataRow:
				got = append(got, string(m.Values[0]))
			case *pgproto3.CommandComplete:
			default:
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."), "Complete"))
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", what, s, want)
		}
	}
	type series = []pgproto3.FrontendMessage
	sync := series{&pgproto3.Sync{}}
	parse := func(name, sql string) series { return series{&pgproto3.Parse{Name: name, Query: sql}} }
	use := func(name string) series { return series{&pgproto3.Bind{PreparedStatement: name}, &pgproto3.Execute{}} }
	fails := slices.Concat(parse("", "SELECT 1/0"), use(""))
	drop := series{&pgproto3.Close{ObjectType: 'S', Name: "x"}}

	talk("a Parse", "Parse 22012 I Close Parse Bind 5 I", fails, parse("x", "SELECT 5"), sync, drop, parse("x", "SELECT 5"), use("x"), sync)
	// The server has room for two.
	for _, name := range []string{"a", "b", "c"} {
		talk("prepare", "Parse Bind "+name+" I", parse(name, "SELECT '"+name+"'"), use(name), sync)
	}
	talk("a Bind", "Parse 22012 I Bind a I Bind a I", fails, use("a"), sync, use("a"), sync, use("a"), sync)
	talk("a Bind, again", "Bind b I Bind a I", use("b"), sync, use("a"), sync)
	talk("all of them", "Parse 22012 I Parse 22012 I Bind c I Bind b I Bind a I", fails, use("c"), use("b"), sync, fails, use("b"), use("a"), sync, use("c"), sync, use("b"), sync, use("a"), sync)
	talk("all of them, again", "Bind a I Bind b I Bind c I", use("a"), sync, use("b"), sync, use("c"), sync)

	talk("a table", "Parse Bind I", parse("s", "SELECT * FROM changes"), use("s"), sync)
	run(t, x, "INSERT INTO changes VALUES (7)")
	for i, again := range []series{nil, slices.Concat(use("s"), sync)} {
		run(t, x, fmt.Sprintf("ALTER TABLE changes ADD more%d int", i))
		talk("it has changed", "0A000 I", use("s"), sync)
		want := "Parse 22012 I"
		if again != nil {
			want += " Bind 7 I"
		}
		talk("nothing is prepared", want, fails, use("s"), sync, again)
		talk("afterwards", "Bind 7 I Bind 7 I", use("s"), sync, use("s"), sync)
	}
	if err := x.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
