package outside_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// TestShowTransactions looks at a transaction on two shards while one of them does not answer.
func TestShowTransactions(t *testing.T) {
	t.Parallel()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true, Params: map[string]string{"max_prepared_transactions": "10"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	info := srv.Info()
	local := func(database string) string {
		return fmt.Sprintf("host=%s port=%d sslmode=disable dbname=%s", info.Socket, info.Port, database)
	}
	far := newWireTo(t, "127.0.0.1:0", func() (net.Conn, error) {
		return net.Dial("unix", info.Socket+"/.s.PGSQL."+strconv.Itoa(info.Port))
	})
	for _, sql := range []string{"CREATE DATABASE s0", "CREATE DATABASE s1"} {
		c, err := connect(t.Context(), local("postgres"), info.User, "", "postgres")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		_ = c.Close(t.Context())
	}
	for _, database := range []string{"s0", "s1"} {
		c, err := connect(t.Context(), local(database), info.User, "", database)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), "CREATE TABLE t (id bigint PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		_ = c.Close(t.Context())
	}
	p := configure(t, &server{info.Socket, info.Port, info.User}, "", "")
	_, port, err := net.SplitHostPort(far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.write("pgdog.toml", fmt.Sprintf(`[general]
host = "127.0.0.1"
port = 0
two_phase_commit = true
two_phase_commit_wal_dir = "wal"
[admin]
password = "hush"
[[databases]]
name = "app"
shard = 0
host = %q
port = %d
database_name = "s0"
[[databases]]
name = "app"
shard = 1
host = "127.0.0.1"
port = %s
database_name = "s1"
[[sharded_tables]]
database = "app"
name = "t"
column = "id"
data_type = "bigint"
`, info.Socket, info.Port, port))
	x := p.proxy("--listen=tcp")
	c := x.app()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tx, err := c.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for id := range 20 { // some for each shard
		if _, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1)", id); err != nil {
			t.Fatal(err)
		}
	}
	if rows := x.admin("SHOW TRANSACTIONS"); len(rows) > 0 {
		t.Errorf("before the commit: %v", rows)
	}
	far.hold()
	committed := make(chan error, 1)
	go func() { committed <- tx.Commit(ctx) }()
	var rows [][]string
	eventually(t, "the transaction is shown", func() bool {
		rows = x.admin("SHOW TRANSACTIONS transaction_name, database, transaction_state, shards, gids, pending")
		return len(rows) > 0
	})
	name := rows[0][0]
	if got, want := strings.Join(rows[0][1:], "|"), "app|preparing|2|"+name+"_0 "+name+"_1|"; len(rows) != 1 || got != want {
		t.Errorf("shown are %v, want %s", rows, want)
	}
	far.flow()
	if err := <-committed; err != nil {
		t.Error(err)
	}
	if rows := x.admin("SHOW TRANSACTIONS"); len(rows) > 0 {
		t.Errorf("after the commit: %v", rows)
	}
	var n int
	if err := c.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&n); err != nil || n != 20 {
		t.Errorf("%d rows, %v", n, err)
	}
}
