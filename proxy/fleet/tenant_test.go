package fleet_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// TestTenants refuses what does not name its tenant, and nothing else.
func TestTenants(t *testing.T) {
	srv := start(t)
	var current atomic.Pointer[conf.Config]
	c := configOf(t, srv)
	current.Store(c)
	_, plain := serve(t, &current)
	owner, err := connect(t, plain, "app", "one", "db", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"CREATE TABLE orders (id int, tenant_id uuid, total int)", "CREATE TABLE lines (order_id int, tenant_id uuid, v text)",
		"CREATE TABLE countries (code text)", "CREATE VIEW totals AS SELECT sum(total) FROM orders", "CREATE VIEW by_tenant AS SELECT * FROM orders",
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	c = configOf(t, srv)
	c.MultiTenant.Column = "tenant_id"
	var strict atomic.Pointer[conf.Config]
	strict.Store(c)
	_, addr := serve(t, &strict)
	conn, err := connect(t, addr, "app", "one", "db", "")
	if err != nil {
		t.Fatal(err)
	}
	const id = "'00000000-0000-0000-0000-000000000001'"
	for sql, ok := range map[string]bool{
		"SELECT * FROM orders":                                                                 false,
		"SELECT * FROM orders WHERE tenant_id = " + id:                                         true,
		"SELECT * FROM orders WHERE tenant_id IN (" + id + ", " + id + ")":                     true,
		"SELECT * FROM orders WHERE tenant_id <> " + id:                                        false,
		"SELECT * FROM orders WHERE tenant_id IS NOT NULL":                                     false,
		"SELECT * FROM orders WHERE tenant_id = tenant_id":                                     false,
		"SELECT * FROM orders WHERE tenant_id = " + id + " OR total > 0":                       false,
		"SELECT * FROM orders WHERE tenant_id = " + id + " OR tenant_id = " + id:               true,
		"SELECT * FROM orders WHERE NOT tenant_id = " + id:                                     false,
		"SELECT * FROM orders WHERE total > 0 AND tenant_id = " + id:                           true,
		"SELECT tenant_id = " + id + " FROM orders":                                            false,
		"SELECT * FROM orders o JOIN lines l USING (tenant_id) WHERE o.tenant_id = " + id:      true,
		"SELECT * FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.tenant_id = " + id:   false,
		"SELECT * FROM orders o LEFT JOIN lines l ON l.tenant_id = o.tenant_id WHERE o.id = 1": false,
		"SELECT * FROM orders WHERE id IN (SELECT order_id FROM lines) AND tenant_id = " + id:  false,
		"WITH x AS (SELECT * FROM orders) SELECT * FROM countries":                             false,
		"WITH x AS (SELECT * FROM orders WHERE tenant_id = " + id + ") SELECT * FROM x":        true,
		"SELECT * FROM orders WHERE tenant_id = " + id + " UNION ALL SELECT * FROM orders":     false,
		"SELECT * FROM countries":                                                              true,
		"SELECT 1":                                                                             true,
		"SELECT * FROM pg_class LIMIT 1":                                                       true,
		"SELECT * FROM totals":                                                                 false,
		"SELECT * FROM by_tenant":                                                              false,
		"SELECT * FROM by_tenant WHERE tenant_id = " + id:                                      true,
		"SELECT * FROM not_there":                                                              true, // the server says so
		"UPDATE orders SET total = 1":                                                          false,
		"UPDATE orders SET total = 1 WHERE tenant_id = " + id:                                  true,
		"DELETE FROM orders":                                                                   false,
		"DELETE FROM orders WHERE tenant_id = " + id + " RETURNING *":                          true,
		"INSERT INTO orders (id) VALUES (1)":                                                   false,
		"INSERT INTO orders DEFAULT VALUES":                                                    false,
		"INSERT INTO orders VALUES (1)":                                                        false,
		"INSERT INTO orders (id, tenant_id) VALUES (1, DEFAULT)":                               false,
		"INSERT INTO orders (id) SELECT 1":                                                     false,
		"INSERT INTO orders SELECT":                                                            false,
		"INSERT INTO orders (id, tenant_id) VALUES (1, " + id + ")":                            true,
		"INSERT INTO orders SELECT id, tenant_id, total FROM orders":                           false,
		"INSERT INTO orders SELECT id, tenant_id, total FROM orders WHERE tenant_id = " + id:   true,
		"EXPLAIN SELECT * FROM orders":                                                         false,
		"PREPARE p AS SELECT * FROM orders":                                                    false,
		"COPY orders TO STDOUT":                                                                false,
		"COPY (SELECT * FROM orders) TO STDOUT":                                                false,
		"SELECT 1; SELECT * FROM orders; SELECT 2":                                             false,
		"/* WHERE tenant_id = 1 */ SELECT * FROM orders -- tenant_id = 1":                      false,
		"TRUNCATE orders": false,
		"TRUNCATE TABLE ONLY countries, public.orders RESTART IDENTITY": false,
		"TRUNCATE orders *":                                                      false,
		"TRUNCATE countries CASCADE":                                             false,
		"TRUNCATE countries RESTART IDENTITY RESTRICT":                           true,
		"CREATE TABLE all_orders AS SELECT * FROM orders":                        false,
		"CREATE TABLE my_orders AS SELECT * FROM orders WHERE tenant_id = " + id: true,
		"SET work_mem = '5MB'":                                                   true,
	} {
		_, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		refused := code(err) == "42501" && strings.Contains(err.Error(), "which tenant") || err != nil && code(err) == "0A000"
		if refused == ok {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := conn.Exec(t.Context(), "SELECT * FROM orders WHERE tenant_id = $1", strings.Trim(id, "'")); err != nil {
		t.Error(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT * FROM orders WHERE id = $1", 1); code(err) != "42501" {
		t.Errorf("a prepared statement: %v", err)
	}
	// A table that is new.
	if _, err := conn.Exec(t.Context(), "CREATE TABLE news (tenant_id int)"); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err = conn.Exec(t.Context(), "SELECT * FROM news"); err != nil {
			break
		}
	}
	if code(err) != "42501" {
		t.Errorf("a new table: %v", err)
	}
}
