package fleet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// TestUnnamedLimits bounds connections to servers that the configuration does not name.
func TestUnnamedLimits(t *testing.T) {
	srv := start(t)
	c := conf.DefaultConfig()
	c.General.CheckoutTimeout = 300 * time.Millisecond
	c.PgBouncer.MaxUserConnections = 1
	two := 2
	c.Users = []conf.User{{Name: "postgres", AllDatabases: true, PoolSize: &two, StatementTimeout: new(1234 * time.Millisecond)}}
	f := fleet.New(func(user, database string) (fleet.Plan, error) {
		s, mode := fleet.Unnamed(&c, pool.Backend{ID: user + "/" + database, Name: "own", Dial: srv.Dial, Login: pool.Credentials{User: user, Database: database}}, 100)
		if s.Pool.Size != 2 || s.Pool.Min != 0 {
			t.Errorf("the pool is %+v", s.Pool)
		}
		return fleet.Plan{Mode: mode, Servers: []fleet.Server{s}}, nil
	}, nil)
	addr := serveFleet(t, f)
	a, err := pgx.Connect(t.Context(), "postgres://postgres@"+addr+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(context.Background()) }()
	if v := ask(t, a, "SHOW statement_timeout"); v != "1234ms" {
		t.Errorf("statement_timeout is %s", v)
	}
	if _, err := a.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	_, err = pgx.Connect(t.Context(), "postgres://postgres@"+addr+"/template1?sslmode=disable")
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "53300" || !strings.Contains(e.Hint, "max_user_connections (1)") {
		t.Errorf("a connection beyond the limit: %v", err)
	}
	if _, err := a.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	b, err := pgx.Connect(t.Context(), "postgres://postgres@"+addr+"/template1?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	_ = b.Close(context.Background())
}
