package walsender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// A server lets everybody in and has a publisher serve them.
type server struct {
	p      *Publisher
	socket string // directory
	listen net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	errs  []error
	pid   atomic.Uint32
	wg    sync.WaitGroup
}

func serve(t *testing.T, p *Publisher) *server {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "walsender-")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{p: p, socket: dir, conns: map[net.Conn]bool{}}
	if s.listen, err = net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		for {
			nc, err := s.listen.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[nc] = true
			s.mu.Unlock()
			s.wg.Go(func() {
				err := s.session(ctx, nc)
				nc.Close()
				s.mu.Lock()
				delete(s.conns, nc)
				if err != nil {
					s.errs = append(s.errs, err)
				}
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		s.listen.Close()
		s.wg.Wait()
		_ = os.RemoveAll(dir)
	})
	return s
}

func (s *server) session(ctx context.Context, nc net.Conn) error {
	r, w := wire.NewReader(nc, wire.Frontend, 0), wire.NewWriter(nc)
	f, err := r.ReadStartup()
	if err != nil {
		return err
	}
	m, err := wire.DecodeStartup(f.Body)
	if err != nil {
		return err
	}
	start, ok := m.(*wire.StartupMessage)
	if !ok {
		return nil // a cancel request
	}
	pid := s.pid.Add(1)
	for _, m := range []wire.Message{
		&wire.AuthenticationOk{},
		&wire.ParameterStatus{Name: "server_version", Value: ServerVersion},
		&wire.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
		&wire.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
		&wire.BackendKeyData{PID: pid, Key: []byte("none")},
	} {
		if err := w.Send(m); err != nil {
			return err
		}
	}
	return s.p.Serve(ctx, Conn{Net: nc, Reader: r, Writer: w, PID: pid, Database: start.Database(), Timeout: 2 * time.Second})
}

// cut ends all connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc := range s.conns {
		nc.Close()
	}
}

func (s *server) url() string {
	return fmt.Sprintf("host=%s port=5432 user=u dbname=d sslmode=disable", s.socket)
}

func products(t *testing.T, p *Publisher, rows int) uint32 {
	t.Helper()
	oid, err := p.Publish("pub", Table{Schema: "public", Name: "product", Columns: []pgoutput.Column{
		{Key: true, Name: "id", TypeOID: 23, TypeMod: -1}, {Name: "name", TypeOID: 25, TypeMod: -1}, {Name: "price", TypeOID: 1700, TypeMod: -1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		commit(t, p, insert(oid, i))
	}
	return oid
}

func insert(oid uint32, i int) *pgoutput.Insert {
	return &pgoutput.Insert{RelationOID: oid, New: pgoutput.Tuple{text(i), pgoutput.TextValue(fmt.Sprintf("tab\tand\nback\\slash %d", i)), pgoutput.NullValue()}}
}

func text(i int) pgoutput.Value { return pgoutput.TextValue(fmt.Sprint(i)) }

func commit(t *testing.T, p *Publisher, changes ...pgoutput.Message) wire.LSN {
	t.Helper()
	lsn, err := p.Commit(changes...)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

// TestPostgresSubscribes has real servers subscribe to a publisher: the initial copy, all
// kinds of changes, lost connections, and what is kept meanwhile.
func TestPostgresSubscribes(t *testing.T) {
	for _, major := range []int{14, 15, 18} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			p := NewPublisher(7)
			oid := products(t, p, 100)
			s := serve(t, p)
			pg := testpg.New(t, major, map[string]string{"wal_retrieve_retry_interval": "100ms"})
			pg.Exec(t, "postgres",
				"create table product (id int primary key, name text, price numeric)",
				fmt.Sprintf("create subscription sub connection '%s' publication pub", s.url()),
			)
			conn := pg.Connect(t, "postgres")
			waitFor(t, s, pg, conn, "select count(*) = 100 and min(name) = E'tab\\tand\\nback\\\\slash 0' and bool_and(price is null) from product")
			waitFor(t, s, pg, conn, "select bool_and(srsubstate = 'r') from pg_subscription_rel")

			commit(t, p,
				insert(oid, 100),
				&pgoutput.Update{RelationOID: oid, New: pgoutput.Tuple{text(1), pgoutput.TextValue("renamed"), pgoutput.TextValue("9.99")}},
				&pgoutput.Update{RelationOID: oid, Old: pgoutput.Tuple{text(2), pgoutput.NullValue(), pgoutput.NullValue()}, New: pgoutput.Tuple{text(1002), {Kind: pgoutput.Unchanged}, pgoutput.TextValue("1")}},
				&pgoutput.Delete{RelationOID: oid, Old: pgoutput.Tuple{text(3), pgoutput.NullValue(), pgoutput.NullValue()}},
			)
			waitFor(t, s, pg, conn, `select count(*) = 100 and count(*) filter (where id = 1 and name = 'renamed' and price = 9.99) = 1
				and count(*) filter (where id = 1002 and name like 'tab%2' and price = 1) = 1 and count(*) filter (where id in (2, 3)) = 0 from product`)

			// Connections are lost while transactions are committed; each arrives once.
			for i := 2000; i < 2300; i++ {
				commit(t, p, insert(oid, i), insert(oid, i+10000))
				if i%100 == 50 {
					s.cut()
				}
			}
			waitFor(t, s, pg, conn, "select count(*) = 700 from product")

			// What is confirmed is not kept.
			waitUntil(t, s, pg, func() bool { return p.Kept() == 0 })

			commit(t, p, &pgoutput.Truncate{RelationOIDs: []uint32{oid}}, insert(oid, 5))
			waitFor(t, s, pg, conn, "select count(*) = 1 and min(id) = 5 from product")

			// A table that is published later, after a refresh.
			late, err := p.Publish("pub", Table{Schema: "public", Name: "late", Columns: []pgoutput.Column{{Key: true, Name: "k", TypeOID: 25, TypeMod: -1}}})
			if err != nil {
				t.Fatal(err)
			}
			commit(t, p, &pgoutput.Insert{RelationOID: late, New: pgoutput.Tuple{pgoutput.TextValue("x")}})
			pg.Exec(t, "postgres", "create table late (k text primary key)", "alter subscription sub refresh publication")
			waitFor(t, s, pg, conn, "select count(*) = 1 from late")

			pg.Exec(t, "postgres", "drop subscription sub")
			if _, ok := p.SlotConfirmed("sub"); ok {
				t.Error("the slot is still there")
			}
		})
	}
}

func waitFor(t *testing.T, s *server, pg *testpg.Server, conn *pgx.Conn, query string) {
	t.Helper()
	waitUntil(t, s, pg, func() (ok bool) {
		if err := conn.QueryRow(t.Context(), "select coalesce(("+query+"), false)").Scan(&ok); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return ok
	})
}

// waitUntil asks until ok is true; there is nothing to be told by.
func waitUntil(t *testing.T, s *server, pg *testpg.Server, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if ok() {
			return
		}
		<-tick.C
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Fatalf("waited in vain; the publisher's errors: %v; the subscriber's log:\n%s", s.errs, pg.Stop())
}

// TestOurClientSubscribes runs this module's subscriber against its publisher.
func TestOurClientSubscribes(t *testing.T) {
	p := NewPublisher(7)
	oid := products(t, p, 3)
	s := serve(t, p)
	cfg, err := pgconn.ParseConfig(s.url())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	connect := func() *replication.Conn {
		c, err := replication.Connect(ctx, cfg, replication.Logical)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := connect()
	sys, err := c.IdentifySystem(ctx)
	if err != nil || sys.ID != "7" || sys.Database != "d" || sys.Position != p.Position() {
		t.Errorf("%+v, %v", sys, err)
	}
	tables, err := c.PublicationTables(ctx, "pub", "none")
	if err != nil || len(tables) != 1 || tables[0] != (replication.TableName{Schema: "public", Name: "product"}) {
		t.Errorf("%v, %v", tables, err)
	}
	slot, err := c.CreateSlot(ctx, "s", replication.SlotOptions{Plugin: "pgoutput"})
	if err != nil || slot.ConsistentPoint != p.Position() {
		t.Fatalf("%+v, %v", slot, err)
	}
	var e *wire.Error
	for code, f := range map[wire.Code]func() error{
		wire.CodeDuplicateObject: func() error {
			_, err := c.CreateSlot(ctx, "s", replication.SlotOptions{Plugin: "pgoutput"})
			return err
		},
		wire.CodeUndefinedFile: func() error {
			_, err := c.CreateSlot(ctx, "x", replication.SlotOptions{Plugin: "wal2json"})
			return err
		},
		wire.CodeUndefinedObject: func() error { return c.DropSlot(ctx, "x", true) },
		wire.CodeFeatureNotSupported: func() error {
			if _, err := c.Query(ctx, "select 1"); err == nil {
				return errors.New("a query that is not a subscriber's is answered")
			}
			_, err := c.BaseBackup(ctx, &replication.TarSink{Dir: filepath.Join(t.TempDir(), "tars")}, replication.BaseBackupOptions{})
			return err
		},
		wire.CodeSyntaxError: func() error {
			_, err := c.Query(ctx, "START_REPLICATION SLOT s LOGICAL nowhere")
			return err
		},
		wire.CodeInvalidParameterValue: func() error {
			_, err := c.StartLogical(ctx, replication.LogicalOptions{Slot: "s"})
			return err
		},
	} {
		if err := f(); !errors.As(err, &e) || e.Code != code {
			t.Errorf("want %s: %v", code, err)
		}
	}
	if _, err := c.Subscribe(ctx, replication.SubscribeOptions{Slot: "s", Publications: []string{"none"}}); !errors.As(err, &e) || e.Code != wire.CodeUndefinedObject {
		t.Errorf("no publication: %v", err)
	}
	sub, err := c.Subscribe(ctx, replication.SubscribeOptions{Slot: "s", Publications: []string{"pub"}, Messages: true, StatusInterval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := connect().DropSlot(ctx, "s", false); !errors.As(err, &e) || e.Code != wire.CodeObjectInUse {
		t.Errorf("drop of a slot in use: %v", err)
	}
	end := commit(t, p, insert(oid, 10), &pgoutput.LogicalMessage{Transactional: true, Prefix: "p", Content: []byte("m")})
	var kinds []string
	for {
		ch, err := sub.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, strings.TrimPrefix(fmt.Sprintf("%T", ch.Message), "*pgoutput."))
		if ch.Ack != 0 {
			if ch.Ack != end {
				t.Errorf("commit ends at %v, want %v", ch.Ack, end)
			}
			break
		}
	}
	if got := strings.Join(kinds, " "); got != "Begin Relation Insert LogicalMessage Commit" {
		t.Errorf("got %s", got)
	}
	if p.Kept() != 1 {
		t.Errorf("%d transactions kept before the acknowledgement", p.Kept())
	}
	if err := sub.Acknowledge(end, true); err != nil {
		t.Fatal(err)
	}
	if err := sub.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if at, ok := p.SlotConfirmed("s"); at != end || !ok || p.Kept() != 0 {
		t.Errorf("confirmed %v, %d transactions kept", at, p.Kept())
	}
	if err := c.DropSlot(ctx, "s", false); err != nil {
		t.Error(err)
	}
}

// TestSilentSubscriber has a subscriber that says nothing. It is asked, and then dropped.
func TestSilentSubscriber(t *testing.T) {
	p := NewPublisher(7)
	products(t, p, 0)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	served := make(chan error, 1)
	go func() {
		served <- p.Serve(t.Context(), Conn{
			Net: ours, Reader: wire.NewReader(ours, wire.Frontend, 0), Writer: wire.NewWriter(ours), PID: 1, Timeout: 100 * time.Millisecond,
		})
	}()
	r, w := wire.NewReader(theirs, wire.Backend, 0), wire.NewWriter(theirs)
	read := func() wire.Frame {
		f, err := r.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	query := func(sql string) {
		if err := errors.Join(w.Send(&wire.Query{SQL: sql}), w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	read()
	query("CREATE_REPLICATION_SLOT s LOGICAL pgoutput NOEXPORT_SNAPSHOT")
	for read().Type != wire.TypeReadyForQuery {
	}
	query(`START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'pub')`)
	if f := read(); f.Type != wire.TypeCopyBothResponse {
		t.Fatalf("%v", f.Type)
	}
	f := read()
	var k wire.PrimaryKeepalive
	if err := k.Decode(f.Body); err != nil || !k.ReplyRequested {
		t.Fatalf("%+v, %v", k, err)
	}
	f = read()
	var e wire.ErrorResponse
	if f.Type != wire.TypeErrorResponse || e.Decode(f.Body) != nil || e.Error.Code != wire.CodeConnectionFailure {
		t.Errorf("%v %+v", f.Type, e.Error)
	}
	if f := read(); f.Type != wire.TypeReadyForQuery {
		t.Errorf("%v", f.Type)
	}
	if err := errors.Join(w.Send(&wire.Terminate{}), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
