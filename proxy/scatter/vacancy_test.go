package scatter_test

import (
	"context"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// TestVacancy adds the column by whose name tables are divided to tables with rows, and without.
func TestVacancy(t *testing.T) {
	f := newFleet(t, startServer(t), "va", 3, func(sc *sharding.Config, _ *scatter.Config) {
		sc.Tables = []sharding.Table{{Columns: []string{"tenant_id"}}}
	})
	c, other := f.connect(), f.connect()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	mustExec(t, c, "CREATE TABLE full_one (id int PRIMARY KEY); INSERT INTO full_one VALUES (1), (2); CREATE TABLE empty_one (id int PRIMARY KEY)")
	for _, sql := range []string{
		"ALTER TABLE full_one ADD COLUMN tenant_id bigint",
		"BEGIN; ALTER TABLE full_one ADD tenant_id bigint NOT NULL DEFAULT 1",
		"DO $$ BEGIN ALTER TABLE empty_one ADD COLUMN tenant_id bigint; END $$",
		"BEGIN; INSERT INTO empty_one VALUES (9); ALTER TABLE empty_one ADD COLUMN tenant_id bigint",
	} {
		if _, err := c.Exec(ctx, sql); codeOf(err) != "0A000" {
			t.Errorf("%s: %v", sql, err)
		}
		_, _ = c.Exec(ctx, "ROLLBACK")
	}
	if n := one[int](t, c, "SELECT count(*) FROM full_one"); n != 2 {
		t.Errorf("%d rows", n)
	}
	// A row that another session has not committed yet is waited for.
	mustExec(t, other, "BEGIN; INSERT INTO empty_one VALUES (1)")
	result := make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, "ALTER TABLE empty_one ADD COLUMN tenant_id bigint")
		result <- err
	}()
	watch := f.direct(0)
	for one[int](t, watch, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0 {
		select {
		case err := <-result:
			t.Fatalf("it has not waited: %v", err)
		case <-ctx.Done():
			t.Fatal("it does not wait for the other")
		case <-time.After(time.Millisecond):
		}
	}
	mustExec(t, other, "COMMIT")
	if err := <-result; codeOf(err) != "0A000" {
		t.Errorf("a row that was committed meanwhile: %v", err)
	}
	mustExec(t, c, "DELETE FROM empty_one")
	mustExec(t, c, "ALTER TABLE empty_one ADD COLUMN tenant_id bigint")
	mustExec(t, c, "INSERT INTO empty_one SELECT g, g FROM generate_series(1, 20) g")
	if n := one[int](t, c, "SELECT count(*) FROM empty_one"); n != 20 {
		t.Errorf("%d rows in what was empty", n)
	}
}
