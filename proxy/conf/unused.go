package conf

import (
	"maps"
	"reflect"
	"slices"
)

// unused lists the keys that are accepted and change nothing here, with the reason.
func unused() map[string]map[string]string {
	return map[string]map[string]string{
		"general": {
			"regex_parser_limit":  "has no effect: every query is searched for SET and its like, whatever its length",
			"query_parser_engine": "has no effect: there is one parser",
		},
		"memory": {
			"net_buffer":     "has no effect: buffers are there only while there is something in them",
			"message_buffer": "has no effect: buffers are there only while there is something in them",
			"stack_size":     "has no effect: stacks grow as they need to",
		},
	}
}

// Unused names the keys that were set to another value than base has and change nothing: one
// warning for each, with the reason.
func (c *Config) Unused(base *Config) []Warning {
	var out []Warning
	keys := unused()
	for _, section := range []string{"general", "memory"} {
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
	for i := range c.QueryParsers {
		if q := &c.QueryParsers[i]; q.Engine != "" {
			out = append(out, Warning{Key: index("query_parsers", i, "engine"), Msg: "has no effect: there is one parser"})
		}
	}
	return out
}

// PgBouncerDefaults returns the configuration that an empty PgBouncer file gives.
func PgBouncerDefaults() Config { return pgBouncerDefaults() }
