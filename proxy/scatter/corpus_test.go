package scatter_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
)

// TestCorpus gives the statements of testdata/corpus to one server and to 1, 2, 3 and 5
// shards, by the simple protocol and by the extended one in text and in binary: the answers,
// the tags and the errors' codes must be the same. Statements are separated by a semicolon and
// an empty line; "-- ordered" says that the order of the rows counts. A file is one session;
// each statement of an alone_ file is rolled back, after a look at all that it has changed.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/" + cmp.Or(os.Getenv("SHARD_CORPUS"), "*") + ".sql")
	if err != nil || len(files) == 0 {
		t.Fatal("there is no corpus")
	}
	srv := startServer(t)
	statements, asked, refusals := map[string]bool{}, 0, 0
	refused := map[string]int{}
	for _, n := range []int{1, 2, 3, 5} {
		for _, m := range []mode{simpleMode, textMode, binaryMode} {
			if os.Getenv("SHARD_QUERIES") == "" && (n+int(m))%3 != 0 {
				continue // one mode for each number is for every day; all are for "just shard-corpus"
			}
			t.Run(fmt.Sprintf("%d/%v", n, m), func(t *testing.T) {
				p := newPair(t, srv, fmt.Sprintf("c%d_%v_", n, m), n)
				p.both(t, routetest.Schema)
				p.both(t, routetest.Rows()...)
				for _, file := range files {
					if filepath.Base(file) == "multi.sql" && m != simpleMode {
						continue // the extended protocol has no such strings
					}
					for _, sql := range corpus(t, file) {
						statements[file+sql] = true
					}
					p.file(t, m, file, refused, &asked)
				}
				if n := p.f.pool.lent(); n != 0 && p.shards.TxStatus() == 'I' && !t.Failed() {
					t.Logf("%d connections stay with the session", n)
				}
			})
		}
	}
	for _, n := range refused {
		refusals += n
	}
	for _, why := range slices.Sorted(func(yield func(string) bool) {
		for w := range refused {
			if !yield(w) {
				return
			}
		}
	}) {
		t.Logf("refused %d: %s", refused[why], why)
	}
	t.Logf("%d statements, asked %d times, %d refused", len(statements), asked, refusals)
	if len(statements) < 500 && os.Getenv("SHARD_CORPUS") == "" {
		t.Errorf("the corpus has %d statements only", len(statements))
	}
	if refusals*20 > asked {
		t.Errorf("%d of %d were refused", refusals, asked)
	}
}

// TestCorpusNewer does the same with what only newer servers have.
func TestCorpusNewer(t *testing.T) {
	srv := startVersion(t, "18")
	refused, asked := map[string]int{}, 0
	for _, m := range []mode{simpleMode, textMode, binaryMode} {
		n := 2 + int(m)%2
		t.Run(fmt.Sprintf("%d/%v", n, m), func(t *testing.T) {
			p := newPair(t, srv, fmt.Sprintf("n%d_%v_", n, m), n)
			p.both(t, routetest.Schema)
			p.both(t, routetest.Rows()...)
			p.file(t, m, "testdata/newer/alone_newer.sql", refused, &asked)
		})
	}
	for why, n := range refused {
		t.Logf("refused %d: %s", n, why)
	}
	if len(refused) > 4 {
		t.Errorf("%d statements were refused", len(refused))
	}
}

// file gives the statements of a file to both.
func (p *pair) file(t *testing.T, m mode, file string, refused map[string]int, asked *int) {
	t.Helper()
	alone := strings.HasPrefix(filepath.Base(file), "alone_")
	both := func(sql string) {
		ask(t.Context(), p.whole, simpleMode, sql)
		ask(t.Context(), p.shards, simpleMode, sql)
	}
	for i, sql := range corpus(t, file) {
		*asked++
		if alone {
			both("BEGIN")
		}
		if why := p.compare(t, m, fmt.Sprintf("%s statement %d", filepath.Base(file), i+1), sql); why != "" {
			refused[why]++
		} else if alone && !t.Failed() && p.shards.TxStatus() == 'T' {
			for _, table := range []string{"users", "payments", "countries"} {
				p.compare(t, simpleMode, table+" after "+sql, "SELECT * FROM "+table)
			}
		}
		if alone {
			both("ROLLBACK")
		}
	}
}

func corpus(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), ";\n\n"), ";\n\n")
}

// compare asks both. It returns why the shards refused, or "".
func (p *pair) compare(t *testing.T, m mode, name, sql string) string {
	t.Helper()
	text, ordered := strings.CutPrefix(sql, "-- ordered\n")
	want, got := ask(t.Context(), p.whole, m, text), ask(t.Context(), p.shards, m, text)
	if got.code == "0A000" && want.code != "0A000" {
		if p.whole.TxStatus() != p.shards.TxStatus() {
			ask(t.Context(), p.whole, simpleMode, "ROLLBACK")
			ask(t.Context(), p.shards, simpleMode, "ROLLBACK")
		}
		return got.err.Error() + ": " + text
	}
	why := differ(want, got, ordered)
	if why == "" && p.whole.TxStatus() != p.shards.TxStatus() {
		why = fmt.Sprintf("transaction status %c, want %c", p.shards.TxStatus(), p.whole.TxStatus())
	}
	if why != "" {
		explained := ask(t.Context(), p.shards, simpleMode, "EXPLAIN (ROUTE) "+text)
		t.Errorf("%s: %s\n%s\n%s", name, text, why, strings.Join(explained.rows, "\n"))
	}
	return ""
}
