package scatter_test

import (
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
)

// TestTemporaryNames has sessions make what would hide a table or a view whose rows are divided.
func TestTemporaryNames(t *testing.T) {
	p := newPair(t, startServer(t), "hides_", 3)
	p.both(t, routetest.Schema)
	p.both(t, routetest.Rows()...)
	for _, sql := range []string{
		"CREATE TEMP TABLE users (n bigint, id bigint)", "CREATE TEMPORARY VIEW users AS SELECT 1 AS id",
		"CREATE TABLE pg_temp.users_all (id int)", "CREATE LOCAL TEMP TABLE IF NOT EXISTS payments (id int)",
		"CREATE OR REPLACE TEMP VIEW users_all AS SELECT 1 AS id", "CREATE TEMP RECURSIVE VIEW users_all (id) AS SELECT 1",
		"CREATE TEMP TABLE users_sorted AS SELECT 1 AS id", "SELECT 1 AS id INTO LOCAL TEMP TABLE users_all",
		"SELECT 1 AS id INTO pg_temp.users_all", "CREATE TEMP SEQUENCE users_all",
	} {
		if why := p.compare(t, simpleMode, "a name", sql); why == "" {
			t.Errorf("%s is not refused", sql)
		}
		ask(t.Context(), p.whole, simpleMode, "DISCARD TEMP")
	}
	for _, sql := range []string{
		"CREATE TEMP TABLE countries AS SELECT 7 AS id", "SELECT * FROM countries", "SELECT 1 AS id INTO TEMP others",
		"SELECT * FROM others", "SELECT count(*) FROM users_all", "CREATE TABLE temp (id int)", "SELECT * FROM temp",
	} {
		if why := p.compare(t, simpleMode, "another name", sql); why != "" {
			t.Error(why)
		}
	}
}
