package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dashboardFile is a dashboard for Grafana, to be imported there.
const dashboardFile = "testdata/grafana.json"

// A row of panels: a title, and for each panel its title, its unit in Grafana's terms, and
// the metrics in it.
type panel struct {
	title, unit string
	metrics     []string
}

func panels() []struct {
	title  string
	panels []panel
} {
	type row = struct {
		title  string
		panels []panel
	}
	both := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, "total_"+n, "avg_"+n)
		}
		return out
	}
	return []row{
		{"Clients and pools", []panel{
			{"Clients", "short", []string{"clients", "clients_locked", "cl_waiting"}},
			{"Server connections", "short", []string{"sv_active", "sv_idle", "sv_idle_xact", "sv_locked", "max_connections"}},
			{"Longest wait", "s", []string{"maxwait"}},
			{"Failed connections", "short", []string{"errors", "out_of_sync"}},
		}},
		{"Latency", []panel{
			{"Queries", "s", []string{"query_duration_seconds"}},
			{"Transactions", "s", []string{"transaction_duration_seconds"}},
			{"Waiting for a connection", "s", []string{"checkout_duration_seconds"}},
			{"Time", "ms", both("xact_time", "query_time", "idle_xact_time", "connect_time", "wait_time")},
		}},
		{"Traffic", []panel{
			{"Transactions and queries", "ops", both("xact_count", "xact_2pc_count", "query_count", "reads", "writes")},
			{"Bytes", "Bps", both("received", "sent")},
			{"Rows", "ops", both("rows_inserted", "rows_updated", "rows_deleted")},
			{"Connections", "ops", both("connect_count", "auth_attempts", "cleaned", "rollbacks", "server_errors", "prepared_evictions", "close", "client_idle_xact_timeouts")},
		}},
		{"Statements and shards", []panel{
			{"Plans", "ops", []string{"query_cache_hits", "query_cache_misses", "query_cache_direct", "query_cache_cross", "query_cache_parse_time"}},
			{"Cache", "short", []string{"query_cache_size", "query_cache_limit", "query_cache_fingerprints", "prepared_statements", "prepared_statements_memory_used", "prepared_statements_limit"}},
			{"Lookups", "ops", []string{
				"sharding_lookup_cache_entries", "sharding_lookup_cache_bytes", "sharding_lookup_cache_hits", "sharding_lookup_cache_misses",
				"sharding_lookup_cache_evictions", "sharding_lookup_queries", "sharding_lookup_query_time",
			}},
			{"Mirrors, notifications, two-phase commit", "ops", []string{
				"mirror_total_count", "mirror_mirrored_count", "mirror_dropped_count", "mirror_error_count", "mirror_queue_length",
				"pub_sub_listeners", "pub_sub_listener_received", "pub_sub_listener_dropped", "two_pc_recovered_total",
			}},
		}},
	}
}

// query returns the expression for a metric, by what it is.
func query(m metric) string {
	name := "${namespace}" + m.name
	pools := `{database=~"$database"}`
	switch {
	case m.histogram != nil:
		return `histogram_quantile(0.99, sum by (le, database) (rate(` + name + `_bucket` + pools + `[$__rate_interval])))`
	case m.pool == nil && m.counter:
		return `rate(` + name + `[$__rate_interval])`
	case m.pool == nil:
		return name
	case m.counter:
		return `sum by (database, role) (rate(` + name + pools + `[$__rate_interval]))`
	case strings.HasPrefix(m.name, "avg_") && strings.HasSuffix(m.name, "_time"):
		return `avg by (database, role) (` + name + pools + `)`
	case m.name == "maxwait":
		return `max by (database, role) (` + name + pools + `)`
	}
	return `sum by (database, role) (` + name + pools + `)`
}

func dashboard(t *testing.T) []byte {
	known := map[string]metric{}
	for _, m := range all() {
		known[m.name] = m
	}
	type object = map[string]any
	var list []any
	id, y := 0, 0
	for _, row := range panels() {
		id++
		list = append(list, object{"id": id, "type": "row", "title": row.title, "collapsed": false, "gridPos": object{"x": 0, "y": y, "w": 24, "h": 1}, "panels": []any{}})
		y++
		for i, p := range row.panels {
			id++
			var targets []any
			for j, name := range p.metrics {
				m, ok := known[name]
				if !ok {
					t.Fatalf("there is no metric %s", name)
				}
				legend := name
				if m.pool != nil || m.histogram != nil {
					legend += " {{database}} {{role}}"
				}
				targets = append(targets, object{"refId": string(rune('A' + j)), "expr": query(m), "legendFormat": legend})
			}
			list = append(list, object{
				"id": id, "type": "timeseries", "title": p.title, "datasource": object{"type": "prometheus", "uid": "${datasource}"},
				"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []any{}},
				"gridPos":     object{"x": 12 * (i % 2), "y": y + 8*(i/2), "w": 12, "h": 8}, "targets": targets,
			})
		}
		y += 16
	}
	b, err := json.MarshalIndent(object{
		"title": "pgx-dev proxy", "uid": "pgx-dev-proxy", "schemaVersion": 39, "version": 1, "editable": true, "tags": []any{"postgresql"},
		"time": object{"from": "now-1h", "to": "now"}, "refresh": "15s", "panels": list,
		"templating": object{"list": []any{
			object{"name": "datasource", "type": "datasource", "query": "prometheus"},
			object{"name": "namespace", "type": "textbox", "query": "", "label": "general.openmetrics_namespace"},
			object{
				"name": "database", "type": "query", "datasource": object{"type": "prometheus", "uid": "${datasource}"},
				"query": "label_values(${namespace}sv_active, database)", "includeAll": true, "multi": true, "allValue": ".*",
			},
		}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// TestDashboard holds the dashboard equal to the metrics: every one is in it, and nothing
// else is.
func TestDashboard(t *testing.T) {
	want := dashboard(t)
	if *update {
		if err := os.WriteFile(dashboardFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: run with -update\n%s", dashboardFile, diff)
	}
	var used []string
	for _, m := range regexp.MustCompile(`\$\{namespace\}([a-z0-9_]+)`).FindAllStringSubmatch(string(got), -1) {
		used = append(used, strings.TrimSuffix(m[1], "_bucket"))
	}
	slices.Sort(used)
	names := Names()
	slices.Sort(names)
	if diff := cmp.Diff(names, slices.Compact(used)); diff != "" {
		t.Errorf("the dashboard's names (-metrics +dashboard):\n%s", diff)
	}
}
