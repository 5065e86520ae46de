package pgserver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire/wiretest/oracle"
)

// shared is the PostgreSQL that all tests of this package compare with.
type shared struct {
	once sync.Once
	pg   *oracle.Server
	err  error
}

var sharedOracle shared

func TestMain(m *testing.M) {
	code := m.Run()
	if sharedOracle.pg != nil {
		if err := sharedOracle.pg.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// postgres returns the shared PostgreSQL, with TLS, started by the first test that asks.
func postgres(t testing.TB) *oracle.Server {
	t.Helper()
	sharedOracle.once.Do(func() {
		sharedOracle.pg, sharedOracle.err = oracle.Start(context.Background(), oracle.Options{TLS: true})
	})
	if errors.Is(sharedOracle.err, oracle.ErrNoPostgreSQL) && os.Getenv("CI") == "" {
		t.Skip(sharedOracle.err)
	}
	if sharedOracle.err != nil {
		t.Fatal(sharedOracle.err)
	}
	return sharedOracle.pg
}

func oracleConn(t testing.TB) *pgx.Conn {
	t.Helper()
	return connect(t, postgres(t).URL("postgres"))
}
