package conf

import "reflect"

// unused lists the keys that are accepted, and on which nothing depends yet.
func unused() map[string][]string {
	return map[string][]string{
		"general": {
			"shutdown_termination_timeout", "prepared_statements_ttl", "prepared_statements_ttl_jitter", "pub_sub_channel_size", "mirror_queue", "mirror_exposure", "dry_run",
			"expanded_explain", "system_catalogs", "omnisharded_sticky", "load_schema", "canonicalize_type_information",
			"sharding_lookup_cache_size", "sharding_lookup_timeout", "resharding_copy_format", "resharding_parallel_copies",
			"resharding_copy_retry_max_attempts", "resharding_copy_retry_min_delay", "resharding_replication_retry_max_attempts",
			"resharding_replication_retry_min_delay", "cutover_traffic_stop_threshold", "cutover_replication_lag_threshold",
			"cutover_last_transaction_delay", "cutover_timeout", "cutover_timeout_action", "cutover_save_config"},
		"pgbouncer": {
			"unix_socket_dir", "unix_socket_mode", "so_reuseport",
		},
		"memory": {"net_buffer", "message_buffer"},
	}
}

// Unused names the keys that were set to another value than base has, and on which nothing
// depends yet: one warning for each.
func (c *Config) Unused(base *Config) []Warning {
	const msg = "is accepted, and has no effect yet"
	var out []Warning
	keys := unused()
	for _, section := range []string{"general", "pgbouncer", "memory"} {
		v, _ := fieldOf(reflect.ValueOf(c).Elem(), section)
		b, _ := fieldOf(reflect.ValueOf(base).Elem(), section)
		for _, key := range keys[section] {
			have, ok := fieldOf(v, key)
			was, _ := fieldOf(b, key)
			if ok && !reflect.DeepEqual(have.Interface(), was.Interface()) {
				out = append(out, Warning{Key: section + "." + key, Msg: msg})
			}
		}
	}
	for _, s := range []struct {
		key string
		set bool
	}{
		{"multi_tenant", c.MultiTenant.Column != ""},
		{"mirroring", len(c.Mirroring) > 0},
		{"query_parsers", len(c.QueryParsers) > 0},
	} {
		if s.set {
			out = append(out, Warning{Key: s.key, Msg: msg})
		}
	}
	return out
}

// PgBouncerDefaults returns the configuration that an empty PgBouncer file gives.
func PgBouncerDefaults() Config { return pgBouncerDefaults() }
