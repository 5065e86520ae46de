package pgserver_test

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

// shared is the PostgreSQL that all tests of this package compare with.
type shared struct {
	once sync.Once
	pg   *testpg.Server
	err  error
}

var sharedOracle shared

func TestMain(m *testing.M) {
	code := m.Run()
	if sharedOracle.pg != nil {
		if err := sharedOracle.pg.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// postgres returns the shared PostgreSQL, with TLS, started by the first test that asks.
func postgres(t testing.TB) *testpg.Server {
	t.Helper()
	sharedOracle.once.Do(func() {
		sharedOracle.pg, sharedOracle.err = testpg.Launch(testpg.Options{TLS: true})
	})
	if sharedOracle.err != nil {
		t.Fatal(sharedOracle.err)
	}
	return sharedOracle.pg
}

func oracleConn(t testing.TB) *pgx.Conn {
	t.Helper()
	return connect(t, postgres(t).URL("postgres"))
}
