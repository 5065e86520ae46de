package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// A call is a function call in a statement.
type call struct {
	schema, name string
	tok          int
}

func (a *analysis) call(n *ast.FuncCall) {
	parts, tok := a.st.names(n.Funcname)
	c := &call{name: parts[len(parts)-1], tok: tok}
	if len(parts) > 1 {
		c.schema = parts[len(parts)-2]
	}
	a.calls = append(a.calls, c)
}

// writing are functions of pg_catalog that change something; prefixes end in *.
var writing = []string{
	"nextval", "setval", "lo_*", "lowrite", "pg_notify", "set_config", "pg_advisory_*", "pg_try_advisory_*",
	"pg_create_*", "pg_drop_*", "pg_replication_*", "pg_logical_*", "pg_switch_wal", "pg_reload_conf", "pg_terminate_backend",
	"pg_cancel_backend", "pg_promote", "pg_rotate_logfile", "txid_current", "pg_current_xact_id", "pg_export_snapshot",
	"pg_stat_reset*", "pg_start_backup", "pg_stop_backup", "pg_backup_*", "pg_wal_replay_*", "pg_import_system_collations",
	"dblink*", "query_to_xml*", "cursor_to_xml*", "table_to_xml*", "schema_to_xml*", "database_to_xml*", "ts_stat", "currval", "lastval",
}

// harmless are volatile functions of pg_catalog that change nothing.
var harmless = []string{
	"random", "random_normal", "setseed", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7", "pg_sleep", "pg_sleep_for",
	"pg_sleep_until", "uuid_generate_*",
}

// aggregates are those of pg_catalog, for when the schema is not known.
var aggregates = []string{
	"array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "any_value", "count", "every", "json_agg", "jsonb_agg",
	"json_object_agg", "jsonb_object_agg", "max", "min", "range_agg", "range_intersect_agg", "string_agg", "sum", "xmlagg", "corr",
	"covar_pop", "covar_samp", "regr_*", "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp", "mode",
	"percentile_cont", "percentile_disc", "rank", "dense_rank", "percent_rank", "cume_dist", "json_objectagg", "json_arrayagg",
	"jsonb_object_agg_*", "json_agg_strict", "jsonb_agg_strict",
}

// reading are functions of pg_catalog that read tables which their arguments name.
var reading = []string{
	"query_to_xml*", "cursor_to_xml*", "table_to_xml*", "schema_to_xml*", "database_to_xml*", "ts_stat", "dblink*", "query_to_json*",
}

// single are functions whose effect must be seen by all sessions alike, so that one shard
// must serve them all: the first.
var single = []string{
	"nextval", "setval", "currval", "lastval", "pg_advisory_*", "pg_try_advisory_*", "lo_*", "lowrite", "txid_current",
	"pg_current_xact_id", "pg_export_snapshot",
}

func listed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		if n := len(s) - 1; s[n] == '*' {
			return len(name) >= n && name[:n] == s[:n]
		}
		return s == name
	})
}

// isAggregate reports whether n calls an aggregate.
func (a *analysis) isAggregate(n *ast.FuncCall) bool {
	if n.AggStar || n.AggDistinct || n.AggFilter != nil || n.AggWithinGroup || len(items(n.AggOrder)) > 0 {
		return true
	}
	parts, _ := a.st.names(n.Funcname)
	schemaName, name := "", parts[len(parts)-1]
	if len(parts) > 1 {
		schemaName = parts[len(parts)-2]
	}
	for _, f := range a.snap.Functions(schemaName, name) {
		if f.Kind == 'a' {
			return true
		}
	}
	return listed(aggregates, name) && (schemaName == "" || schemaName == "pg_catalog")
}

// traits is what a function may do.
type traits struct {
	volatile bool // not the same on every shard, or from call to call
	writes   bool
	opaque   bool // may read tables, so that it sees one shard only
}

func (a *analysis) traits(c *call) (t traits) {
	if listed(a.layout.LocalFunctions, c.name) || listed(a.layout.LocalFunctions, c.schema+"."+c.name) {
		return t
	}
	if c.schema == "pgdog" && c.name == "unique_id" {
		return t
	}
	if c.tok < 0 && (c.name == "json_arrayagg" || c.name == "json_objectagg") {
		return t // it is none (see plainJSON)
	}
	if listed(reading, c.name) {
		return traits{volatile: true, writes: true, opaque: true}
	}
	fs := a.snap.Functions(c.schema, c.name)
	if len(fs) == 0 {
		if a.snap.Empty() {
			t.volatile = listed(writing, c.name) || listed(harmless, c.name)
			t.writes = listed(writing, c.name)
			return t
		}
		// The server will say that there is no such function; were there one, it is opaque.
		return traits{volatile: true, writes: true, opaque: true}
	}
	for _, f := range fs {
		if f.Volatility == 'v' {
			t.volatile = true
		}
		if f.Opaque && f.Volatility != 'i' {
			t.opaque = true
			t.writes = t.writes || f.Volatility == 'v'
		}
		if f.Volatility == 'v' && !f.Opaque && !listed(harmless, c.name) && f.Kind == 'f' {
			t.writes = t.writes || f.Schema != "pg_catalog" || listed(writing, c.name)
		}
		t.writes = t.writes || f.Schema == "pg_catalog" && listed(writing, c.name)
	}
	return t
}

// unstable reports whether n may have other results on each shard, though they have the
// same rows: by a LIMIT or a volatile function.
func (a *analysis) unstable(n ast.Node) bool {
	if isNil(n) {
		return false
	}
	unstable := false
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.SelectStmt:
			if x != nil && (x.LimitCount != nil || x.LimitOffset != nil) {
				unstable = true
			}
		case *ast.RangeTableSample:
			unstable = unstable || x != nil
		case *ast.FuncCall:
			if x != nil {
				parts, _ := a.st.names(x.Funcname)
				f := &call{name: parts[len(parts)-1]}
				if len(parts) > 1 {
					f.schema = parts[len(parts)-2]
				}
				unstable = unstable || a.traits(f).volatile
			}
		}
		return true
	}, nil)
	return unstable
}
