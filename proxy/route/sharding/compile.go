package sharding

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

// A Layout is a checked [Config].
type Layout struct {
	Shards         int
	LocalFunctions []string
	Catalogs       Catalogs

	own       *Key // of catalogs that are read on every shard
	tables    []*Key
	omni      map[string]bool
	schemas   map[string]Schema
	otherwise *Schema
}

// Compile checks cfg. The error joins one error for each mistake.
func Compile(cfg Config) (*Layout, error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if cfg.Shards < 1 || cfg.Shards > MaxShards {
		fail("the number of shards must be between 1 and %d, not %d", MaxShards, cfg.Shards)
		return nil, errors.Join(errs...)
	}
	l := &Layout{Catalogs: cfg.Catalogs, own: perShard(cfg.Shards), Shards: cfg.Shards, LocalFunctions: slices.Clone(cfg.LocalFunctions), schemas: map[string]Schema{}}
	if len(cfg.Omni) > 0 {
		l.omni = map[string]bool{}
	}
	for _, name := range cfg.Omni {
		if name == "" {
			fail("an omnisharded table has no name")
		}
		l.omni[name] = true
	}
	seen := map[string]bool{}
	for i, t := range cfg.Tables {
		k, es := compileTable(t, cfg.Shards)
		name := describe(t, i)
		for _, err := range es {
			fail("%s: %w", name, err)
		}
		id := t.Schema + "." + t.Name
		if t.Name == "" {
			id += ":" + strings.Join(t.Columns, ",")
		}
		if t.Name != "" && (l.omni[t.Name] || l.omni[t.Schema+"."+t.Name]) {
			fail("%s: it is among the omnisharded tables too", name)
		}
		if seen[id] {
			fail("%s: there is more than one entry for it", name)
		}
		seen[id] = true
		l.tables = append(l.tables, k)
	}
	for _, s := range cfg.Schemas {
		switch _, twice := l.schemas[s.Name]; {
		case !s.All && (s.Shard < 0 || s.Shard >= cfg.Shards):
			fail("schema %q: there is no shard %d; they are 0 to %d", s.Name, s.Shard, cfg.Shards-1)
		case twice, s.Name == "" && l.otherwise != nil:
			fail("schema %q: there is more than one entry for it", s.Name)
		}
		if s.Name == "" {
			l.otherwise = &s
			continue
		}
		l.schemas[s.Name] = s
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return l, nil
}

func describe(t Table, i int) string {
	switch {
	case t.Name != "" && t.Schema != "":
		return fmt.Sprintf("sharded table %s.%s", t.Schema, t.Name)
	case t.Name != "":
		return "sharded table " + t.Name
	case len(t.Columns) > 0:
		return fmt.Sprintf("sharded tables with %s", strings.Join(t.Columns, ", "))
	}
	return fmt.Sprintf("sharded table %d", i+1)
}

func compileTable(t Table, shards int) (*Key, []error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	k := &Key{
		Columns: slices.Clone(t.Columns), Types: slices.Clone(t.Types), Function: t.Function, shards: shards,
		schema: t.Schema, table: t.Name, probes: t.Probes, query: t.LookupQuery, lookupValue: t.LookupValue, centroids: t.Centroids,
	}
	if k.Function == Unset {
		switch {
		case len(t.Centroids) > 0:
			k.Function = Centroids
		case t.LookupQuery != "":
			k.Function = Lookup
		case len(t.Rules) > 0:
			k.Function = Mapped
		default:
			k.Function = Hash
		}
	}
	if len(t.Columns) == 0 {
		fail("name the column that is the sharding key")
	}
	if len(t.Columns) > 1 && k.Function != Hash {
		fail("a key of several columns can only be hashed")
	}
	for i, c := range t.Columns {
		if c == "" || slices.Contains(t.Columns[:i], c) {
			fail("column %q is empty or there twice", c)
		}
	}
	switch {
	case len(k.Types) == 0:
		k.Types = slices.Repeat([]hash.OID{hash.Int8}, max(1, len(t.Columns)))
	case len(k.Types) == 1 && len(t.Columns) > 1:
		k.Types = slices.Repeat(k.Types, len(t.Columns))
	case len(k.Types) != len(t.Columns) && k.Function != Lookup:
		fail("%d types for %d columns", len(k.Types), len(t.Columns))
	}
	if len(t.Rules) > 0 && k.Function != Mapped {
		fail("rules have no meaning for the function %s", k.Function)
	}
	if t.Probes < 0 {
		fail("probes must not be negative")
	}
	switch k.Function {
	case Hash:
		for _, typ := range k.Types {
			if !hash.Known(typ) {
				fail("values of type %s cannot be hashed here", hash.TypeName(typ))
			}
		}
	case Sha1:
		if typ := k.Types[0]; !integral(typ) && !textual(typ) && typ != hash.UUID {
			fail("the sha1 function takes integers, uuids and strings, not %s", hash.TypeName(typ))
		}
	case Mapped:
		errs = append(errs, k.compileRules(t.Rules)...)
	case Centroids:
		if len(t.Centroids) == 0 {
			fail("there are no centroids")
		}
		for i, c := range t.Centroids {
			if len(c) == 0 || len(c) != len(t.Centroids[0]) {
				fail("centroid %d has %d dimensions, the first has %d", i, len(c), len(t.Centroids[0]))
			}
		}
		if t.Probes > len(t.Centroids) {
			fail("%d probes, but only %d centroids", t.Probes, len(t.Centroids))
		}
	case Lookup:
		if t.LookupQuery == "" {
			fail("there is no lookup query")
		}
	}
	k.id = k.identity(t)
	return k, errs
}

// compileRules reads the values of rules and looks for gaps and overlaps.
func (k *Key) compileRules(rules []Rule) []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	typ := k.Types[0]
	if classOf(typ) == none {
		return []error{fmt.Errorf("values of type %s cannot be listed or ranged; hash them", hash.TypeName(typ))}
	}
	if len(rules) == 0 {
		fail("there are no rules")
	}
	read := func(text string) (key, bool) {
		v, ok, err := parse(typ, Raw{Bytes: []byte(text)})
		if err != nil || !ok {
			fail("%q is no value of type %s", text, hash.TypeName(typ))
			return v, false
		}
		return v, true
	}
	k.fallback = -1
	for _, r := range rules {
		if r.Shard < 0 || r.Shard >= k.shards {
			fail("there is no shard %d; they are 0 to %d", r.Shard, k.shards-1)
			continue
		}
		switch r.Kind {
		case Default:
			if k.fallback >= 0 {
				fail("there is more than one default")
			}
			k.fallback = r.Shard
		case List:
			if len(r.Values) == 0 {
				fail("the list of shard %d is empty", r.Shard)
			}
			for _, text := range r.Values {
				if v, ok := read(text); ok {
					k.list = append(k.list, listed{v, text, r.Shard})
				}
			}
		case Range:
			s := span{shard: r.Shard, text: rangeText(r)}
			ok := true
			if r.Start != nil {
				v, good := read(*r.Start)
				s.start, ok = &v, ok && good
			}
			if r.End != nil {
				v, good := read(*r.End)
				s.end, ok = &v, ok && good
			}
			if ok && s.start != nil && s.end != nil && s.start.compare(*s.end) >= 0 {
				fail("the range %s is empty", s.text)
				ok = false
			}
			if ok {
				k.spans = append(k.spans, s)
			}
		default:
			fail("unknown kind of rule %d", r.Kind)
		}
	}
	return append(errs, k.checkRules()...)
}

func rangeText(r Rule) string {
	text := func(s *string, none string) string {
		if s == nil {
			return none
		}
		return *s
	}
	return "[" + text(r.Start, "-∞") + ", " + text(r.End, "∞") + ")"
}

func (k *Key) checkRules() []error {
	var errs []error
	slices.SortStableFunc(k.list, func(a, b listed) int { return a.value.compare(b.value) })
	for i := 1; i < len(k.list); i++ {
		if k.list[i].value.compare(k.list[i-1].value) == 0 {
			errs = append(errs, fmt.Errorf("the value %s is listed twice", k.list[i].text))
		}
	}
	slices.SortStableFunc(k.spans, func(a, b span) int {
		switch {
		case a.start == nil && b.start == nil:
			return 0
		case a.start == nil:
			return -1
		case b.start == nil:
			return 1
		}
		return a.start.compare(*b.start)
	})
	for i := 1; i < len(k.spans); i++ {
		a, b := k.spans[i-1], k.spans[i]
		switch {
		case a.end == nil, b.start == nil, a.end.compare(*b.start) > 0:
			errs = append(errs, fmt.Errorf("the ranges %s and %s overlap", a.text, b.text))
		case a.end.compare(*b.start) < 0 && k.fallback < 0:
			errs = append(errs, fmt.Errorf("there is a gap between the ranges %s and %s: close it or add a default", a.text, b.text))
		}
	}
	return errs
}

// identity is the same for keys whose equal values are on the same shard.
func (k *Key) identity(t Table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%d", k.Function, k.shards)
	for _, typ := range k.Types {
		switch {
		case integral(typ):
			typ = hash.Int8
		case textual(typ):
			typ = hash.Text
		}
		fmt.Fprintf(&b, "/%d", typ)
	}
	switch k.Function {
	case Mapped:
		for _, v := range k.list {
			fmt.Fprintf(&b, "/%q=%d", v.text, v.shard)
		}
		for _, s := range k.spans {
			fmt.Fprintf(&b, "/%q=%d", s.text, s.shard)
		}
		fmt.Fprintf(&b, "/%d", k.fallback)
	case Centroids:
		fmt.Fprintf(&b, "/%v", t.Centroids)
	case Lookup:
		fmt.Fprintf(&b, "/%q/%v", t.LookupQuery, t.LookupValue)
	}
	return b.String()
}
