package leasetest_test

import (
	"testing"

	"github.com/pgx-dev/pgx-dev/lease/leasetest"
)

// Each test has a database with the migrations in it, and no other test sees what it does.
func Example() {
	_ = func(t *testing.T) {
		t.Parallel()
		pool := leasetest.Pool(t, leasetest.Migrations("testdata/*.sql"))
		if _, err := pool.Exec(t.Context(), "INSERT INTO users (name) VALUES ('Ann')"); err != nil {
			t.Fatal(err)
		}
	}
}

// A program that wants nothing but a URL.
func ExampleURL() {
	_ = func(t *testing.T) {
		t.Setenv("DATABASE_URL", leasetest.URL(t, leasetest.Migrations("testdata/*.sql")))
	}
}
