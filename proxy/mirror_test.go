package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// A mirrored is a bench whose clients' database is mirrored to the database "copy" of the same
// server.
type mirrored struct {
	*bench
	copied *pool.Pool
	broken atomic.Bool // nobody can connect to the copy
}

func newMirrored(t *testing.T, srv engines.Server, m proxy.Mirroring) *mirrored {
	t.Helper()
	x := &mirrored{}
	dial := func(ctx context.Context) (net.Conn, error) {
		if x.broken.Load() {
			return nil, errors.New("there is no way")
		}
		return srv.Dial(ctx)
	}
	x.copied = pool.New(&pool.Backend{ID: "copy", Name: "copy", Dial: dial, Login: pool.Credentials{User: srv.Info().User, Database: "copy"}}, pool.Config{Size: 2}, nil)
	there := &proxy.Database{Name: "copy", Servers: proxy.One{Pool: x.copied}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		x.copied.Close(ctx)
	})
	x.bench = newBench(t, srv, proxy.Transaction, pool.Config{Size: 3}, func(c *proxy.Config, db *proxy.Database) {
		c.Lookup = func(_ context.Context, who proxy.Client) (*proxy.Database, error) {
			if who.Database == "copy" {
				return there, nil
			}
			return db, nil
		}
	})
	m.Source, m.Destination = "postgres", "copy"
	x.px.Mirror([]proxy.Mirroring{m})
	return x
}

// done waits until everything was repeated or not, and returns the figures.
func (m *mirrored) done(total int64) (i proxy.MirrorInfo) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%d transactions are mirrored", total), func() bool {
		i = m.px.Mirrors()[0]
		return i.Total >= total && i.Mirrored+i.Dropped+i.Failed == i.Total
	})
	if i.Queue != 0 {
		m.t.Errorf("what waits: %+v", i)
	}
	return i
}

// both returns what a query says in both databases.
func both(t *testing.T, srv engines.Server, sql string) (here, there string) {
	t.Helper()
	ask := func(db string) string {
		c, err := engines.Connect(t.Context(), srv, db)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		return value(t, c, sql)
	}
	return ask("postgres"), ask("copy")
}

func TestMirroring(t *testing.T) { transports(t, testMirroring) }

func testMirroring(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	direct, err := engines.Connect(t.Context(), srv, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = direct.Close(context.Background()) }()
	run(t, direct, "CREATE DATABASE copy")
	run(t, direct, "CREATE TABLE rows (who text, n int)")
	onCopy := func(sql string) {
		t.Helper()
		c, err := engines.Connect(t.Context(), srv, "copy")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		run(t, c, sql)
	}
	onCopy("CREATE TABLE rows (who text, n int)")
	const all = "SELECT coalesce(string_agg(who || n, ' ' ORDER BY who, n), '') FROM rows"
	clean := func() { run(t, direct, "TRUNCATE rows"); onCopy("TRUNCATE rows") }

	t.Run("everything that a client may say", func(t *testing.T) {
		clean()
		m := newMirrored(t, srv, proxy.Mirroring{Exposure: 1})
		c := m.connect("")
		simple(t, c, "INSERT INTO rows VALUES ('simple', 1)")
		simple(t, c, "INSERT INTO rows VALUES ('both', 1); INSERT INTO rows VALUES ('both', 2)")
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "extended", 1)
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "extended", 2) // by its prepared statement
		simple(t, c, "SET application_name = 'somebody'")
		simple(t, c, "INSERT INTO rows SELECT current_setting('application_name'), 1")
		run(t, c, "BEGIN")
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "kept", 1)
		run(t, c, "SAVEPOINT a")
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "lost", 1)
		run(t, c, "ROLLBACK TO a")
		run(t, c, "COMMIT")
		run(t, c, "BEGIN")
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "lost", 2)
		run(t, c, "ROLLBACK")
		if _, err := c.Exec(t.Context(), "SELECT no such thing"); err == nil {
			t.Error("no error")
		}
		if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader("copied\t1\ncopied\t2\n"), "COPY rows FROM STDIN"); err != nil {
			t.Fatal(err)
		}
		b := &pgx.Batch{}
		for i := range 3 {
			b.Queue("INSERT INTO rows VALUES ($1, $2)", "batch", i)
		}
		if err := c.SendBatch(t.Context(), b).Close(); err != nil {
			t.Fatal(err)
		}
		run(t, c, "DEALLOCATE ALL")
		i := m.done(1)
		eventually(t, "the copy is complete", func() bool { here, there := both(t, srv, all); return here == there })
		here, _ := both(t, srv, all)
		if !strings.Contains(here, "somebody1") || !strings.Contains(here, "batch2 ") || strings.Contains(here, "lost") {
			t.Errorf("the rows are %s", here)
		}
		if i = m.done(i.Total); i.Failed+i.Dropped != 0 {
			t.Errorf("the figures are %+v", i)
		}
	})

	t.Run("prepared statements and parameters of what was not mirrored", func(t *testing.T) {
		clean()
		m := newMirrored(t, srv, proxy.Mirroring{Exposure: 0})
		c := m.connect("")
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "unseen", 1)
		simple(t, c, "SET application_name = 'unseen'")
		i := m.done(3) // Prepare is a transaction of its own
		if i.Dropped != i.Total {
			t.Errorf("the figures are %+v", i)
		}
		m.px.Mirror([]proxy.Mirroring{{Source: "postgres", Destination: "copy", Exposure: 1}})
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "seen", 1)
		simple(t, c, "INSERT INTO rows SELECT current_setting('application_name'), 2")
		if j := m.done(i.Total + 2); j.Failed != 0 || j.Mirrored != 2 {
			t.Errorf("the figures are %+v", j)
		}
		if _, there := both(t, srv, all); there != "seen1 unseen2" {
			t.Errorf("the copy has %s", there)
		}
	})

	t.Run("levels", func(t *testing.T) {
		clean()
		m := newMirrored(t, srv, proxy.Mirroring{Exposure: 1, Level: proxy.MirrorDDL})
		c := m.connect("")
		simple(t, c, "INSERT INTO rows VALUES ('dml', 1)")
		simple(t, c, "/* a note */ CREATE TABLE made ()")
		if i := m.done(1); i.Mirrored != 1 || i.Total != 1 {
			t.Errorf("the figures are %+v", i)
		}
		m.px.Mirror([]proxy.Mirroring{{Source: "postgres", Destination: "copy", Exposure: 1, Level: proxy.MirrorDML}})
		simple(t, c, "DROP TABLE made")
		simple(t, c, "INSERT INTO rows VALUES ('dml', 2)")
		m.done(2)
		if _, there := both(t, srv, all+" WHERE to_regclass('made') IS NOT NULL"); there != "dml2" {
			t.Errorf("the copy has %s", there)
		}
		onCopy("DROP TABLE made")
	})

	t.Run("a mirror that is not there", func(t *testing.T) {
		clean()
		m := newMirrored(t, srv, proxy.Mirroring{Exposure: 1})
		m.broken.Store(true)
		c := m.connect("")
		for i := range 10 {
			run(t, c, "INSERT INTO rows VALUES ($1, $2)", "here", i)
		}
		if i := m.done(11); i.Failed == 0 || i.Mirrored != 0 {
			t.Errorf("the figures are %+v", i)
		}
		m.broken.Store(false)
		before := m.px.Mirrors()[0].Total
		run(t, c, "INSERT INTO rows VALUES ($1, $2)", "again", 1)
		if i := m.done(before + 1); i.Mirrored != 1 {
			t.Errorf("the figures are %+v", i)
		}
		if _, there := both(t, srv, all); there != "again1" {
			t.Errorf("the copy has %s", there)
		}
	})

	t.Run("a mirror that is slow", func(t *testing.T) {
		clean()
		m := newMirrored(t, srv, proxy.Mirroring{Exposure: 1, Queue: 4})
		holder, err := engines.Connect(t.Context(), srv, "copy")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = holder.Close(context.Background()) }()
		run(t, holder, "BEGIN")
		run(t, holder, "LOCK rows")
		c := m.connect("")
		for i := range 20 {
			simple(t, c, fmt.Sprintf("INSERT INTO rows VALUES ('slow', %d)", i))
		}
		eventually(t, "the rest is dropped", func() bool { i := m.px.Mirrors()[0]; return i.Total == 20 && i.Dropped >= 15 && i.Queue <= 4 })
		run(t, holder, "ROLLBACK")
		if i := m.done(20); i.Mirrored < 4 || i.Mirrored > 5 {
			t.Errorf("the figures are %+v", i)
		}
		if here, _ := both(t, srv, "SELECT count(*)::text FROM rows"); here != "20" {
			t.Errorf("%s rows", here)
		}
	})

	t.Run("many at once", func(t *testing.T) {
		clean()
		m := newMirrored(t, srv, proxy.Mirroring{Exposure: 1, Queue: 1000})
		var wg sync.WaitGroup
		for who := range 8 {
			wg.Go(func() {
				c, err := pgx.Connect(t.Context(), m.url(""))
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 20 {
					if _, err := c.Exec(t.Context(), "INSERT INTO rows VALUES ($1, $2)", fmt.Sprint("w", who), i); err != nil {
						t.Error(err)
					}
				}
				_ = c.Close(t.Context())
			})
		}
		wg.Wait()
		if i := m.done(8 * 21); i.Dropped+i.Failed != 0 {
			t.Errorf("the figures are %+v", i)
		}
		if here, there := both(t, srv, all); here != there {
			t.Errorf("here %s\nthere %s", here, there)
		}
	})
}
