package conf

import (
	"maps"
	"reflect"
	"slices"
)

// unused lists the keys that are accepted and change nothing here, with the reason.
func unused() map[string]map[string]string {
	const (
		reshards = "has no effect yet: the proxy does not move rows between shards"
		lookups  = "has no effect yet: results of lookups are kept without a limit"
		mirrors  = "has no effect yet: traffic is not mirrored"
		sockets  = "has no effect yet: --listen says where sockets are"
	)
	return map[string]map[string]string{
		"general": {
			"prepared_statements_ttl":        "has no effect yet: those that were used least make room for others",
			"prepared_statements_ttl_jitter": "has no effect yet: those that were used least make room for others",
			"pub_sub_channel_size":           "has no effect: LISTEN works in transaction mode without it, on a connection that the client keeps",
			"mirror_queue":                   mirrors, "mirror_exposure": mirrors,
			"dry_run":                       "has no effect yet: \"pgx-dev proxy route\" says where statements would go",
			"expanded_explain":              "has no effect yet: EXPLAIN (ROUTE) says where a statement goes",
			"system_catalogs":               "has no effect yet: a client reads catalogs on the same shard each time",
			"omnisharded_sticky":            "has no effect yet: a client reads omnisharded tables on the same shard each time",
			"load_schema":                   "has no effect yet: schemas are read where there are shards or tenants",
			"canonicalize_type_information": "has no effect: types always have the first shard's numbers",
			"sharding_lookup_cache_size":    lookups, "sharding_lookup_timeout": "has no effect yet: query_timeout bounds lookups with their queries",
			"resharding_copy_format": reshards, "resharding_parallel_copies": reshards,
			"resharding_copy_retry_max_attempts": reshards, "resharding_copy_retry_min_delay": reshards,
			"resharding_replication_retry_max_attempts": reshards, "resharding_replication_retry_min_delay": reshards,
			"cutover_traffic_stop_threshold": reshards, "cutover_replication_lag_threshold": reshards,
			"cutover_last_transaction_delay": reshards, "cutover_timeout": reshards, "cutover_timeout_action": reshards, "cutover_save_config": reshards,
		},
		"pgbouncer": {
			"unix_socket_dir": sockets, "unix_socket_mode": sockets,
			"so_reuseport": "has no effect: --replace takes over the sockets of a running proxy",
		},
		"memory": {
			"net_buffer":     "has no effect: buffers are there only while there is something in them",
			"message_buffer": "has no effect: buffers are there only while there is something in them",
		},
	}
}

// Unused names the keys that were set to another value than base has and change nothing: one
// warning for each, with the reason.
func (c *Config) Unused(base *Config) []Warning {
	var out []Warning
	keys := unused()
	for _, section := range []string{"general", "pgbouncer", "memory"} {
		v, _ := fieldOf(reflect.ValueOf(c).Elem(), section)
		b, _ := fieldOf(reflect.ValueOf(base).Elem(), section)
		for _, key := range slices.Sorted(maps.Keys(keys[section])) {
			have, ok := fieldOf(v, key)
			was, _ := fieldOf(b, key)
			if ok && !reflect.DeepEqual(have.Interface(), was.Interface()) {
				out = append(out, Warning{Key: section + "." + key, Msg: keys[section][key]})
			}
		}
	}
	for _, s := range []struct {
		key, msg string
		set      bool
	}{
		{"mirroring", "has no effect yet: traffic is not mirrored", len(c.Mirroring) > 0},
		{"query_parsers", "has no effect: the parser is asked where a database needs it", len(c.QueryParsers) > 0},
	} {
		if s.set {
			out = append(out, Warning{Key: s.key, Msg: s.msg})
		}
	}
	return out
}

// PgBouncerDefaults returns the configuration that an empty PgBouncer file gives.
func PgBouncerDefaults() Config { return pgBouncerDefaults() }
