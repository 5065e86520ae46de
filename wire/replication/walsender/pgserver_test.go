package walsender_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
	"github.com/pgx-dev/pgx-dev/wire/replication/walsender"
)

// A publisher serves a walsender.Publisher through pgserver.
type publisher struct {
	p        *walsender.Publisher
	sessions sync.Map // *walsender.Session by *pgserver.Session
}

func (h *publisher) StartSession(s *pgserver.Session) error {
	if s.Replication() != "database" {
		return wire.Errorf(wire.CodeFeatureNotSupported, "this server is for logical replication only")
	}
	h.sessions.Store(s, h.p.Session(walsender.SessionOptions{PID: s.PID(), Database: s.Database()}))
	return nil
}

func (h *publisher) EndSession(s *pgserver.Session) {
	if ws, ok := h.sessions.LoadAndDelete(s); ok {
		ws.(*walsender.Session).Close()
	}
}

func (h *publisher) TxStatus(s *pgserver.Session) wire.TxStatus {
	if ws, ok := h.sessions.Load(s); ok {
		return ws.(*walsender.Session).TxStatus()
	}
	return wire.TxIdle
}

func (h *publisher) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	ws, _ := h.sessions.Load(q.Session)
	return ws.(*walsender.Session).Query(q.Context(), q.SQL, response{w})
}

type response struct{ pgserver.ResponseWriter }

func (r response) Columns(fields []wire.Field) error {
	cols := make([]pgserver.Column, len(fields))
	for i, f := range fields {
		cols[i] = pgserver.Column{Name: f.Name, Type: f.TypeOID}
	}
	return r.ResponseWriter.Columns(cols...)
}

func (r response) Row(values [][]byte) error { return r.RawRow(values) }

func (r response) CopyOut(columns int) (io.WriteCloser, error) {
	return r.ResponseWriter.CopyOut(pgserver.CopyFormat{}, columns)
}

func (r response) CopyBoth() (walsender.Link, error) { return r.ResponseWriter.CopyBoth() }

func TestThroughPgserver(t *testing.T) {
	p := walsender.NewPublisher(7)
	oid, err := p.Publish("pub", walsender.Table{Schema: "public", Name: "t", Columns: []pgoutput.Column{{Key: true, Name: "id", TypeOID: 23, TypeMod: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	insert := func(i int) {
		if _, err := p.Commit(&pgoutput.Insert{RelationOID: oid, New: pgoutput.Tuple{pgoutput.TextValue(fmt.Sprint(i))}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		insert(i)
	}
	dir, err := os.MkdirTemp("/tmp", "walsender-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &pgserver.Server{Handler: &publisher{p: p}, Params: map[string]string{"server_version": walsender.ServerVersion}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	pg := testpg.New(t, 15, nil)
	pg.Exec(t, "postgres", "create table t (id int primary key)",
		fmt.Sprintf("create subscription sub connection 'host=%s dbname=d user=u' publication pub", dir))
	conn := pg.Connect(t, "postgres")
	wait := func(n int) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		got := 0
		for range 1500 {
			if err := conn.QueryRow(t.Context(), "select count(*) from t").Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got == n {
				return
			}
			<-tick.C
		}
		t.Fatalf("%d rows, want %d\n%s", got, n, pg.Stop())
	}
	wait(50)
	for i := 50; i < 100; i++ {
		insert(i)
	}
	wait(100)
	pg.Exec(t, "postgres", "drop subscription sub")
	srv.Close()
	<-served //nolint:errcheck // only that it ends
}
