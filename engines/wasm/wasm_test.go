package wasm_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// shared is the engine of all tests: the code is compiled once, and kept on disk.
var shared = wasm.New(wasm.Config{Wait: time.Minute})

func TestMain(m *testing.M) {
	if standIn() {
		return
	}
	code := m.Run()
	removeRivals()
	if err := shared.Close(); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// temp starts a temporary server that ends with the test.
func temp(t testing.TB, e engines.Engine, spec engines.Spec) engines.Server {
	t.Helper()
	srv, err := e.Start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return srv
}

func connect(t testing.TB, srv engines.Server) *pgx.Conn {
	t.Helper()
	c, err := engines.Connect(context.Background(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// one runs a query with one value.
func one(t testing.TB, c *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var v string
	if err := c.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func exec(t testing.TB, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := c.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
