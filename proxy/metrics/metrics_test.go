package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata")

func example() *Snapshot {
	var h Histogram
	for _, d := range []time.Duration{50 * time.Microsecond, 100 * time.Microsecond, 3 * time.Millisecond, 2 * time.Minute} {
		h.Observe(d)
	}
	return &Snapshot{
		Clients: 3, ClientsLocked: 1,
		Pools: []Pool{{
			Labels:         Labels{User: `o"b\`, Database: "app", Host: "10.0.0.1", Port: 5432, Shard: 1, Role: "primary"},
			MaxConnections: 10, Waiting: 2, Active: 4, Idle: 3, IdleXact: 1, Locked: 1, MaxWait: 1500 * time.Millisecond, Errors: 7, OutOfSync: 1,
			Totals:       Totals{Xacts: 100, Queries: 250, Received: 1 << 40, Sent: 5, XactTime: 2500 * time.Microsecond},
			QueryLatency: &h,
		}},
		QueryCache: QueryCache{Hits: 5, Limit: 1000}, Mirrors: []Mirror{{Source: "a", Destination: "b", Total: 9}}, TwoPhaseRecovered: 2,
	}
}

func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		file   string
		format Format
	}{{"testdata/text.txt", Text}, {"testdata/openmetrics.txt", OpenMetrics}} {
		var b bytes.Buffer
		if err := Write(&b, example(), nil, "pgdog_", tt.format); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(tt.file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s: run with -update\n%s", tt.file, diff)
		}
		lint(t, b.String(), tt.format)
	}
}

// lint checks the rules of the text formats.
func lint(t *testing.T, text string, f Format) {
	t.Helper()
	sample := regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (\S+)$`)
	types := map[string]string{}
	family, n := "", 0
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if f == OpenMetrics {
		if lines[len(lines)-1] != "# EOF" {
			t.Error("no # EOF at the end")
		}
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		if words := strings.Fields(line); words[0] == "#" {
			if words[1] == "TYPE" {
				family = words[2]
				if types[family] != "" {
					t.Errorf("%s is there twice", family)
				}
				types[family] = words[3]
			}
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %s", line)
			continue
		}
		n++
		if _, err := strconv.ParseFloat(m[3], 64); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		suffix, ok := strings.CutPrefix(m[1], family)
		if !ok {
			t.Errorf("%s stands below %s", m[1], family)
		}
		allowed := []string{""}
		switch types[family] {
		case "histogram":
			allowed = []string{"_bucket", "_sum", "_count"}
		case "counter":
			if f == OpenMetrics {
				allowed = []string{"_total"}
			}
		}
		if !slices.Contains(allowed, suffix) {
			t.Errorf("%s: not of a %s in this format", line, types[family])
		}
	}
	if n < 80 {
		t.Errorf("only %d samples", n)
	}
}

// TestPgDogNames holds the names that PgDog has, so that its dashboards and alerts work.
func TestPgDogNames(t *testing.T) {
	names := Names()
	want := strings.Fields(`clients clients_locked cl_waiting sv_active sv_idle sv_idle_xact sv_locked max_connections maxwait errors out_of_sync
		query_cache_hits query_cache_misses query_cache_direct query_cache_cross query_cache_size query_cache_limit query_cache_parse_time query_cache_fingerprints
		prepared_statements prepared_statements_memory_used prepared_statements_limit
		mirror_total_count mirror_mirrored_count mirror_dropped_count mirror_error_count mirror_queue_length
		pub_sub_listeners pub_sub_listener_received pub_sub_listener_dropped
		sharding_lookup_cache_entries sharding_lookup_cache_bytes sharding_lookup_cache_hits sharding_lookup_cache_misses sharding_lookup_cache_evictions sharding_lookup_queries sharding_lookup_query_time
		two_pc_recovered_total`)
	for n := range strings.FieldsSeq(`xact_count xact_2pc_count query_count received sent xact_time query_time idle_xact_time connect_count connect_time reads writes
		rollbacks server_errors prepared_evictions cleaned auth_attempts rows_inserted rows_updated rows_deleted`) {
		want = append(want, "total_"+n, "avg_"+n)
	}
	for _, n := range want {
		if !slices.Contains(names, n) {
			t.Errorf("%s is missing", n)
		}
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error("a name is there twice")
	}
}

func TestAverages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAverager(10 * time.Second)
		s := example()
		l := s.Pools[0].Labels
		a.Sample(s)
		if got := a.Average(l); got != (Average{}) {
			t.Errorf("before a period has passed: %+v", got)
		}
		<-time.After(5 * time.Second)
		s.Pools[0].Totals.Xacts += 1000
		a.Sample(s) // too early
		<-time.After(5 * time.Second)
		s.Pools[0].Totals.XactTime += 3 * time.Second
		s.Pools[0].Totals.Received = 0 // began anew
		a.Sample(s)
		got := a.Average(l)
		if got.Xacts != 100 || got.XactTime != 3*time.Millisecond || got.Received != 0 || got.QueryTime != 0 {
			t.Errorf("%+v", got)
		}
		<-time.After(time.Second)
		s.Pools = nil
		a.Sample(s)
		if a.Average(l) != got {
			t.Error("they hold for a period")
		}
		<-time.After(10 * time.Second)
		a.Sample(s)
		if a.Average(l) != (Average{}) {
			t.Error("the pool is gone")
		}
	})
}

func TestHistogram(t *testing.T) {
	var h, sum Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("of nothing")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 1; i <= 1000; i++ {
				h.Observe(time.Duration(i) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	sum.Add(&h)
	sum.Add(nil)
	if sum.Count() != 4000 || sum.sum.Load() != h.sum.Load() {
		t.Errorf("%d", sum.Count())
	}
	for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
		exact := time.Duration(q * float64(time.Second))
		if got := h.Quantile(q); got < exact*9/10 || got > exact*11/10 {
			t.Errorf("quantile %v is %v", q, got)
		}
	}
	h.Observe(time.Hour)
	if got := h.Quantile(1); got != time.Minute {
		t.Errorf("the greatest is %v", got)
	}
}

func TestHandler(t *testing.T) {
	healthy := true
	srv := httptest.NewServer(&Handler{Snapshot: example, Averager: NewAverager(0), Healthy: func() bool { return healthy }})
	defer srv.Close()
	get := func(method, path, accept string) (int, string, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		return resp.StatusCode, resp.Header.Get("Content-Type"), b.String()
	}
	if code, ctype, body := get("GET", "/metrics", "*/*"); code != 200 || ctype != Text.ContentType() || !strings.Contains(body, "\nsv_active{") {
		t.Errorf("%d %s", code, ctype)
	}
	if _, ctype, body := get("GET", "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"); ctype != OpenMetrics.ContentType() || !strings.HasSuffix(body, "# EOF\n") {
		t.Error(ctype)
	}
	if code, _, body := get("GET", "/", ""); code != 200 || body != "up\n" {
		t.Errorf("%d %q", code, body)
	}
	healthy = false
	if code, _, body := get("GET", "/", ""); code != 502 || body != "down\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, _, _ := get("POST", "/metrics", ""); code != 405 {
		t.Errorf("POST: %d", code)
	}
	if code, _, _ := get("GET", "/nosuch", ""); code != 404 {
		t.Errorf("/nosuch: %d", code)
	}
}

func BenchmarkWrite(b *testing.B) {
	s := example()
	for i := range 300 {
		p := s.Pools[0]
		p.Database = fmt.Sprint("db", i)
		s.Pools = append(s.Pools, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		var buf bytes.Buffer
		if err := Write(&buf, s, nil, "", Text); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(buf.Len()))
	}
}
