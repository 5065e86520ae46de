package scatter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
)

// TestTrimmedKeys stores keys with spaces beyond what their column holds, which are not kept: the
// rows are where their keys are looked for.
func TestTrimmedKeys(t *testing.T) {
	f := newFleet(t, startServer(t), "trim", 3, func(sc *sharding.Config, _ *scatter.Config) {
		sc.Tables = append(slices.Clone(demo), sharding.Table{Name: "codes", Columns: []string{"id"}, Types: []hash.OID{hash.Varchar}})
	})
	c := f.connect()
	pg := c.PgConn()
	mustExec(t, c, "CREATE TABLE codes (id varchar(3) PRIMARY KEY, v text)")
	keys := []string{"aaa", "bbb", "cc ", "ddd", "éèê", "fff", "g  ", "hhh"}
	pad := func(k string) string { return k + "  " }
	values := func() string {
		var out []string
		for _, k := range keys {
			out = append(out, "('"+pad(k)+"', 'v')")
		}
		return strings.Join(out, ", ")
	}()
	for _, test := range []struct{ name, sql string }{
		{"values", "INSERT INTO codes VALUES " + values},
		{"select", "INSERT INTO codes SELECT a, b FROM (VALUES " + values + ") AS x (a, b)"},
		{"merge", "MERGE INTO codes k USING (VALUES " + values + ") AS x (a, b) ON k.id = x.a WHEN NOT MATCHED THEN INSERT VALUES (x.a, x.b)"},
		{"move", "UPDATE codes SET id = rpad(v, 3) || '  '"},
		{"copy", "COPY codes FROM STDIN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustExec(t, c, "TRUNCATE codes")
			switch test.name {
			case "copy":
				data := strings.Join(keys, "  \tv\n") + "  \tv\n"
				if _, err := pg.CopyFrom(t.Context(), strings.NewReader(data), test.sql); err != nil {
					t.Fatal(err)
				}
			case "move":
				for i, k := range keys {
					mustExec(t, c, fmt.Sprintf("INSERT INTO codes VALUES ('%d', '%s')", i, k))
				}
				mustExec(t, c, test.sql)
			default:
				mustExec(t, c, test.sql)
			}
			for _, k := range keys {
				if o := ask(t.Context(), pg, simpleMode, "SELECT 1 FROM codes WHERE id = '"+k+"'"); o.err != nil || len(o.rows) != 1 {
					t.Errorf("%q: %v %v", k, o.rows, o.err)
				}
			}
		})
	}
}
