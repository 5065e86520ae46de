package conf

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

func (c *Config) validateSharding(m *mistakes) {
	for i := range c.ShardedTables {
		c.validateTable(m, i)
	}
	for i := range c.ShardedMappings {
		s := &c.ShardedMappings[i]
		at := func(field string) string { return index("sharded_mappings", i, field) }
		if !c.known(m, at("database"), s.Database) {
			continue
		}
		if !slices.ContainsFunc(c.ShardedTables, func(t ShardedTable) bool { return s.belongs(&t) }) {
			m.add(at("column"), "no [[sharded_tables]] of %q has the column %q%s", s.Database, s.Column, ofTable(s))
		}
	}
	schemas := map[[2]string]int{}
	for i := range c.ShardedSchemas {
		s := &c.ShardedSchemas[i]
		at := func(field string) string { return index("sharded_schemas", i, field) }
		if c.known(m, at("database"), s.Database) && !s.All {
			c.validateShard(m, at("shard"), s.Database, s.Shard)
		}
		key := [2]string{s.Database, s.Name}
		if other, ok := schemas[key]; ok {
			m.add(at("name"), "has an entry already (sharded_schemas[%d])", other)
		}
		schemas[key] = i
	}
	for i := range c.OmnishardedTables {
		o := &c.OmnishardedTables[i]
		if !c.known(m, index("omnisharded_tables", i, "database"), o.Database) {
			continue
		}
		for j, name := range o.Tables {
			key := fmt.Sprintf("omnisharded_tables[%d].tables[%d]", i, j)
			if name == "" {
				m.add(key, "must not be empty")
			}
			for k := range c.ShardedTables {
				if t := &c.ShardedTables[k]; t.Database == o.Database && t.Name == name && name != "" {
					m.add(key, "%q is sharded by sharded_tables[%d]; it cannot be both", name, k)
				}
			}
		}
	}
}

func ofTable(s *ShardedMapping) string {
	switch {
	case s.Table != "" && s.Schema != "":
		return fmt.Sprintf(" for the table %s.%s", s.Schema, s.Table)
	case s.Table != "":
		return fmt.Sprintf(" for the table %s", s.Table)
	case s.Schema != "":
		return fmt.Sprintf(" for the schema %s", s.Schema)
	}
	return ""
}

func (c *Config) validateShard(m *mistakes, key, database string, shard int) {
	if n := c.Shards(database); shard < 0 || shard >= n {
		m.add(key, "there is no shard %d: %q has %d", shard, database, n)
	}
}

func (c *Config) validateTable(m *mistakes, i int) {
	t := &c.ShardedTables[i]
	at := func(field string) string { return index("sharded_tables", i, field) }
	known := c.known(m, at("database"), t.Database)
	if t.Column != "" && len(t.Columns) > 0 {
		m.add(at("columns"), "stands in the place of column: remove one of them")
	}
	columns := t.KeyColumns()
	if len(columns) == 0 || slices.Contains(columns, "") {
		m.add(at("column"), "must name a column")
	}
	for j := range i {
		o := &c.ShardedTables[j]
		if o.Database == t.Database && o.Schema == t.Schema && o.Name == t.Name && slices.Equal(o.KeyColumns(), columns) {
			m.add(at("column"), "the table and column are in sharded_tables[%d] already", j)
		}
	}
	mappings := c.Mappings(t)
	vectors := len(t.Centroids) > 0 || t.CentroidsPath != ""
	if len(columns) > 1 && (len(mappings) > 0 || t.LookupQuery != "" || t.Hasher == HasherSHA1 || vectors) {
		m.add(at("columns"), "a key of several columns is hashed by the postgres hasher; it has no mapping, lookup or centroids")
	}
	switch {
	case t.DataType == Vector && !vectors:
		m.add(at("data_type"), "vector needs centroids or centroids_path")
	case t.DataType != Vector && vectors:
		m.add(at("data_type"), "centroids are for the type vector")
	}
	if len(t.Centroids) > 0 && t.CentroidsPath != "" {
		m.add(at("centroids_path"), "stands in the place of centroids: remove one of them")
	}
	for j, v := range t.Centroids {
		if len(v) == 0 || len(v) != len(t.Centroids[0]) {
			m.add(fmt.Sprintf("%s[%d]", at("centroids"), j), "has %d dimensions, the first one has %d", len(v), len(t.Centroids[0]))
		}
	}
	if t.CentroidProbes < 0 {
		m.add(at("centroid_probes"), "must not be negative, have %d", t.CentroidProbes)
	}
	if t.LookupQuery != "" && !strings.Contains(t.LookupQuery, "$1") {
		m.add(at("lookup_query"), "has to mention $1, the key")
	}
	if t.LookupQuery == "" && t.LookupResult != "" {
		m.add(at("lookup_result"), "is for lookup_query")
	}
	if t.LookupQuery != "" && len(mappings) > 0 {
		m.add(at("lookup_query"), "and a mapping exclude each other")
	}
	if known {
		c.validateMappings(m, i, t)
	}
}

// A span is a range mapping between keys; a nil bound is none.
type span struct {
	start, end *Value
	key        string
}

// validateMappings looks for keys that two mappings claim, and for ranges with holes between
// them.
func (c *Config) validateMappings(m *mistakes, i int, t *ShardedTable) {
	order := t.DataType.compare()
	values := map[Value]string{}
	var spans []span
	fallback := ""
	each := func(key string, r *Mapping) {
		at := func(field string) string { return key + "." + field }
		c.validateShard(m, at("shard"), t.Database, r.Shard)
		kind := r.KindOf()
		if kind != MapList && len(r.Values) > 0 {
			m.add(at("values"), "are for a list")
		}
		if kind != MapRange && (r.Start != nil || r.End != nil) {
			m.add(at("start"), "start and end are for a range")
		}
		switch kind {
		case MapDefault:
			if fallback != "" {
				m.add(at("kind"), "there is a default already (%s)", fallback)
			}
			fallback = key
		case MapList:
			if len(r.Values) == 0 {
				m.add(at("values"), "must not be empty")
			}
			for j, v := range r.Values {
				vkey := fmt.Sprintf("%s.values[%d]", key, j)
				canon, ok := t.DataType.canonical(v)
				if !ok {
					m.add(vkey, "%q is no %s", v, cmp.Or(t.DataType, Bigint))
					continue
				}
				if other, ok := values[canon]; ok {
					m.add(vkey, "%q is mapped already (%s)", v, other)
					continue
				}
				values[canon] = vkey
			}
		case MapRange:
			if s, ok := rangeOf(m, t, key, r, order); ok {
				spans = append(spans, s)
			}
		}
	}
	for j := range t.Mapping {
		each(fmt.Sprintf("sharded_tables[%d].mapping[%d]", i, j), &t.Mapping[j])
	}
	for j := range c.ShardedMappings {
		if s := &c.ShardedMappings[j]; s.belongs(t) {
			r := s.mapping()
			each(fmt.Sprintf("sharded_mappings[%d]", j), &r)
		}
	}
	validateSpans(m, spans, fallback != "", order)
}

// rangeOf checks a range's bounds.
func rangeOf(m *mistakes, t *ShardedTable, key string, r *Mapping, order func(a, b Value) int) (span, bool) {
	s := span{key: key}
	ok := true
	bound := func(field string, v *Value) *Value {
		if v == nil {
			return nil
		}
		canon, valid := t.DataType.canonical(*v)
		if !valid {
			m.add(key+"."+field, "%q is no %s", *v, cmp.Or(t.DataType, Bigint))
			ok = false
		}
		return &canon
	}
	s.start, s.end = bound("start", r.Start), bound("end", r.End)
	if t.DataType == Vector {
		m.add(key+".kind", "vectors have no ranges")
		return s, false
	}
	if !ok {
		return s, false
	}
	if s.start != nil && s.end != nil && order(*s.start, *s.end) >= 0 {
		m.add(key+".end", "%q is not behind the start, %q; the end is the first key that does not belong to the range", *r.End, *r.Start)
		return s, false
	}
	return s, true
}

func validateSpans(m *mistakes, spans []span, fallback bool, order func(a, b Value) int) {
	slices.SortStableFunc(spans, func(a, b span) int {
		switch {
		case a.start == nil && b.start == nil:
			return 0
		case a.start == nil:
			return -1
		case b.start == nil:
			return 1
		}
		return order(*a.start, *b.start)
	})
	for i := 1; i < len(spans); i++ {
		a, b := spans[i-1], spans[i]
		switch {
		case b.start == nil, a.end == nil, order(*b.start, *a.end) < 0:
			m.add(b.key+".start", "the range overlaps with %s", a.key)
			if a.end == nil || b.end != nil && order(*b.end, *a.end) < 0 {
				spans[i].end = a.end // the longer one goes on
			}
		case order(*b.start, *a.end) > 0 && !fallback:
			m.add(b.key+".start", "keys from %q up to %q have no shard: the range before it (%s) ends there; close the gap, or add a mapping of the kind default", *a.end, *b.start, a.key)
		}
	}
}

// canonical returns the one way to write a key of the type; false if it is none.
func (d DataType) canonical(v Value) (Value, bool) {
	switch cmp.Or(d, Bigint) {
	case Bigint:
		n, ok := new(big.Int).SetString(strings.TrimSpace(string(v)), 10)
		if !ok || !n.IsInt64() {
			return v, false
		}
		return Value(n.String()), true
	case UUID:
		hex := strings.ToLower(strings.NewReplacer("-", "", "{", "", "}", "").Replace(string(v)))
		if len(hex) != 32 || strings.Trim(hex, "0123456789abcdef") != "" {
			return v, false
		}
		return Value(hex), true
	}
	return v, true
}

// compare returns the order of canonical keys.
func (d DataType) compare() func(a, b Value) int {
	if cmp.Or(d, Bigint) != Bigint {
		return func(a, b Value) int { return strings.Compare(string(a), string(b)) }
	}
	return func(a, b Value) int {
		x, _ := new(big.Int).SetString(string(a), 10)
		y, _ := new(big.Int).SetString(string(b), 10)
		return x.Cmp(y)
	}
}
