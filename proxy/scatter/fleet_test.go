package scatter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A fleet is shards behind sessions that real clients connect to, and one server that has
// everything.
type fleet struct {
	t      testing.TB
	ex     *scatter.Executor
	pool   *servers
	layout *sharding.Layout
	srv    engines.Server
	params map[string]string

	mu       sync.Mutex
	sessions map[uint32]*scatter.Session
	next     uint32
}

func startServer(t testing.TB) engines.Server {
	t.Helper()
	return startVersion(t, "")
}

// startVersion starts a server of a version, which is fetched if need be.
func startVersion(t testing.TB, version string) engines.Server {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true, Version: version, Params: map[string]string{
		"max_prepared_transactions": "50", "max_connections": "200",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	return srv
}

func createDatabase(t testing.TB, srv engines.Server, name string, with ...string) {
	t.Helper()
	c, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), "CREATE DATABASE "+name+strings.Join(with, "")); err != nil {
		t.Fatal(err)
	}
}

var demo = []sharding.Table{{Name: "users", Columns: []string{"id"}}, {Name: "payments", Columns: []string{"user_id"}}}

// newFleet makes n empty shards on one server.
func newFleet(t testing.TB, srv engines.Server, prefix string, n int, config func(*sharding.Config, *scatter.Config), with ...string) *fleet {
	t.Helper()
	pool := &servers{idle: make([][]*conn, n)}
	for i := range n {
		name := prefix + strconv.Itoa(i)
		createDatabase(t, srv, name, with...)
		pool.shards = append(pool.shards, &server{dial: srv.Dial, user: srv.Info().User, database: name})
	}
	return newFleetOver(t, srv, pool, config)
}

func newFleetOver(t testing.TB, srv engines.Server, pool *servers, config func(*sharding.Config, *scatter.Config)) *fleet {
	t.Helper()
	t.Cleanup(pool.close)
	sc := sharding.Config{Shards: len(pool.shards), Tables: demo}
	ids, err := scatter.NewUniqueIDs(scatter.StandardIDs(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	xc := scatter.Config{Servers: pool, UniqueID: ids.Next}
	if config != nil {
		config(&sc, &xc)
	}
	layout, err := sharding.Compile(sc)
	if err != nil {
		t.Fatal(err)
	}
	load := func(ctx context.Context) (*schema.Snapshot, error) {
		c, err := pool.shards[0].connect(ctx)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return schema.Load(ctx, catalog{c})
	}
	snap, err := load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	router := route.New(route.Config{Layout: layout, Schema: snap})
	xc.Router, xc.Layout = router, layout
	var ex *scatter.Executor
	types := func(ctx context.Context) error {
		all := make([][]scatter.Named, len(pool.shards))
		for i, srv := range pool.shards {
			c, err := srv.connect(ctx)
			if err != nil {
				return err
			}
			err = catalog{c}.Query(ctx, scatter.TypesSQL, func(row [][]byte) error {
				n, err := scatter.ReadNamed(row)
				all[i] = append(all[i], n)
				return err
			})
			_ = c.Close()
			if err != nil {
				return err
			}
		}
		ex.SetTypes(all)
		return nil
	}
	xc.Reload = func(ctx context.Context) error {
		s, err := load(ctx)
		if err == nil {
			router.SetSchema(s)
			err = types(ctx)
		}
		return err
	}
	xc.Fork = func(s *schema.Snapshot) *route.Router { return route.New(route.Config{Layout: layout, Schema: s}) }
	xc.Waits = func(ctx context.Context, shard int) (out []scatter.Wait, err error) {
		if f := pool.asking.Load(); f != nil {
			if err := (*f)(ctx, shard); err != nil {
				return nil, err
			}
		}
		c, err := pool.shards[shard].connect(ctx)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		err = catalog{c}.Query(ctx, scatter.WaitsSQL, func(row [][]byte) error {
			w, err := scatter.ReadWait(row)
			out = append(out, w)
			return err
		})
		return out, err
	}
	c, err := pool.shards[0].connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	ex = scatter.New(xc)
	if err := types(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &fleet{t: t, ex: ex, pool: pool, layout: layout, srv: srv, params: c.params, sessions: map[uint32]*scatter.Session{}}
}

// A catalog reads a schema over a conn.
type catalog struct{ c *conn }

func (q catalog) Query(_ context.Context, sql string, row func([][]byte) error) error {
	b, err := wire.Append(nil, &wire.Query{SQL: sql})
	if err != nil {
		return err
	}
	if err := q.c.Send(b); err != nil {
		return err
	}
	for {
		f, err := q.c.r.ReadFrame()
		if err != nil {
			return err
		}
		switch f.Type {
		case wire.TypeErrorResponse:
			var e wire.ErrorResponse
			_ = e.Decode(f.Body)
			return &e.Error
		case wire.TypeDataRow:
			var d wire.DataRow
			if err := d.Decode(f.Body); err != nil {
				return err
			}
			if err := row(d.Values); err != nil {
				return err
			}
		case wire.TypeReadyForQuery:
			return nil
		}
	}
}

// serve is a client's session on c.
func (f *fleet) serve(ctx context.Context, c net.Conn) error {
	defer c.Close()
	r := wire.NewReader(c, wire.Frontend, 0)
	out := wire.NewWriter(c)
	for {
		frame, err := r.ReadStartup()
		if err != nil {
			return err
		}
		m, err := wire.DecodeStartup(frame.Body)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.SSLRequest, *wire.GSSENCRequest:
			if _, err := c.Write([]byte{'N'}); err != nil {
				return err
			}
			continue
		case *wire.CancelRequest:
			f.mu.Lock()
			s := f.sessions[m.PID]
			f.mu.Unlock()
			if s != nil {
				s.Cancel(ctx)
			}
			return nil
		}
		break
	}
	session := f.ex.NewSession(out, scatter.Options{Hint: route.NoHint(), Reported: f.params})
	defer session.Close()
	f.mu.Lock()
	f.next++
	pid := f.next
	f.sessions[pid] = session
	f.mu.Unlock()
	_ = out.Send(&wire.AuthenticationOk{})
	for k, v := range f.params {
		_ = out.Send(&wire.ParameterStatus{Name: k, Value: v})
	}
	_ = out.Send(&wire.BackendKeyData{PID: pid, Key: []byte{0, 0, 0, 1}})
	_ = out.Send(&wire.ReadyForQuery{TxStatus: wire.TxIdle})
	if err := out.Flush(); err != nil {
		return err
	}
	for {
		frame, err := r.ReadFrame()
		if err != nil {
			return err
		}
		if err := session.Handle(ctx, frame.Type, frame.Body); err != nil {
			return err
		}
	}
}

// dial connects a client.
func (f *fleet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		err := f.serve(context.WithoutCancel(ctx), server)
		if err != nil && !scatter.Terminated(err) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			f.t.Logf("session: %v", err)
		}
	}()
	return client, nil
}

// connect is pgx, connected to the fleet.
func (f *fleet) connect() *pgx.Conn {
	f.t.Helper()
	cfg, err := pgx.ParseConfig("host=127.0.0.1 user=u database=d sslmode=disable")
	if err != nil {
		f.t.Fatal(err)
	}
	cfg.DialFunc = f.dial
	c, err := pgx.ConnectConfig(f.t.Context(), cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// direct is pgx, connected to a shard itself.
func (f *fleet) direct(shard int) *pgx.Conn {
	f.t.Helper()
	c, err := engines.Connect(f.t.Context(), f.srv, f.pool.shards[shard].database)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func mustExec(t testing.TB, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func one[T any](t testing.TB, c *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := c.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return "?"
}
