package scatter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// TestEncodings has keys beyond ASCII, and clients whose texts are not in the encoding of the servers:
// where such a key decides, all shards are asked, or the statement is refused.
func TestEncodings(t *testing.T) {
	srv := startServer(t)
	for _, n := range []int{1, 3} {
		const with = " TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"
		p := pairWith(t, srv, fmt.Sprintf("enc%d_", n), n, with, sharding.Table{Name: "t", Columns: []string{"k"}, Types: []hash.OID{hash.Text}})
		p.both(t, "CREATE TABLE t (k text PRIMARY KEY, n int, v text)")
		for i, key := range []string{"é", "ü", "€", "z", "a", "Š", "ž", "ÿ", "b", "É", "ç", "ñ"} {
			p.both(t, fmt.Sprintf("INSERT INTO t VALUES ('%s', %d, '%s')", key, i, []string{"x", "é", "€"}[i%3]))
		}
		refused, total := map[string]int{}, 0
		both := func(sql string) {
			t.Helper()
			for _, m := range []mode{simpleMode, textMode, binaryMode} {
				if p.one(t, m, sql, true, refused, &total) {
					t.Errorf("%d shards: refused: %q", n, sql)
				}
			}
		}
		no := func(sql string) {
			t.Helper()
			for _, m := range []mode{simpleMode, textMode} {
				if o := ask(t.Context(), p.shards, m, sql); o.code != string(wire.CodeFeatureNotSupported) {
					t.Errorf("%d shards: %q: %q %v, want 0A000", n, sql, o.code, o.err)
				}
			}
		}
		p.both(t, "SET client_encoding = 'WIN1252'")
		both("SELECT n FROM t WHERE k = '\xe9'")
		both("SELECT n, k FROM t WHERE k IN ('\xe9', 'z', '\x80') ORDER BY n")
		both("SELECT k FROM t ORDER BY k COLLATE \"C\"")
		both("SELECT k FROM t ORDER BY k COLLATE \"C\" DESC LIMIT 3")
		both("SELECT min(k COLLATE \"C\"), max(k COLLATE \"C\") FROM t")
		both("SELECT v, count(*) FROM t GROUP BY v ORDER BY 2, 1")
		both("SELECT DISTINCT v FROM t ORDER BY 1")
		both("SELECT n FROM t WHERE k = E'\\u00e9'")
		both("INSERT INTO t VALUES ('ascii', 100, '\xe9t\xe9') ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING *")
		both("UPDATE t SET n = n + 1 WHERE k = '\xe9' RETURNING k, n")
		for _, format := range []int16{0, 1} {
			for _, key := range []string{"\xe9", "\x80", "z"} {
				var got [2]string
				for i, c := range []*pgconn.PgConn{p.whole, p.shards} {
					r := c.ExecParams(t.Context(), "SELECT n FROM t WHERE k = $1", [][]byte{[]byte(key)}, []uint32{uint32(hash.Text)}, []int16{format}, nil).Read()
					got[i] = fmt.Sprintf("%q %v", r.Rows, r.Err)
				}
				if got[0] != got[1] || !strings.Contains(got[0], "[[") {
					t.Errorf("%d shards: %q in format %d: %s, want %s", n, key, format, got[1], got[0])
				}
			}
		}
		if n > 1 {
			no("INSERT INTO t VALUES ('\xe8', 1, '')")
			no("UPDATE t SET k = '\xe8' WHERE k = 'z'")
			no("UPDATE t SET k = k || '\xe8' WHERE n < 5")
			no("SELECT n AS \"\xe9\" FROM t")
			p.both(t, "SET pgdog.sharding_key = '\xe9'")
			no("SELECT n FROM t")
			p.both(t, "RESET pgdog.sharding_key")
		}
		both("SELECT count(*), sum(n) FROM t")
		p.both(t, "SET client_encoding = 'SJIS'")
		if n > 1 {
			no("SELECT n FROM t WHERE v = '\x95\x5c'")
		}
		both("SELECT n FROM t WHERE k = 'z'")
		p.both(t, "RESET client_encoding", "BEGIN", "SET LOCAL client_encoding = 'LATIN1'")
		both("SELECT n FROM t WHERE k = '\xe9'")
		p.both(t, "ROLLBACK")
		both("SELECT n FROM t WHERE k = 'é'")
		both("SELECT k FROM t WHERE k > 'a' ORDER BY k COLLATE \"C\"")
	}
}
