package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/config/spell"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// An assignment gives one key a value. A layer is a list of them.
type assignment struct {
	path   []string // "cluster", "settings", "work_mem"
	value  any      // as TOML has it, or text
	origin Origin
	lines  func(key string) Origin // where a part of value stands; nil: origin
	proxy  bool                    // the value is the proxy's, in a file of its own
}

// text is a value that comes from the environment or a flag rather than from TOML.
type text string

// apply sets the field of root that path names, and notes where its value comes from.
func (a assignment) apply(root reflect.Value, path []string, origins map[string]Origin) []error {
	key := joinKey(path...)
	s := setter{proxy: a.proxy || a.path[0] == "proxy", fail: func(sub, msg string) *Error {
		o := a.origin
		if a.lines != nil && sub != "" {
			o = a.lines(joinKey(a.path...) + sub)
		}
		return &Error{Origin: o, Key: joinKey(a.path...) + sub, Msg: msg}
	}}
	v := root
	for i, name := range path {
		if v.Kind() == reflect.Map { // the rest is one entry of it
			s.setEntry(v, strings.Join(path[i:], "."), a.value)
			origins[key] = a.origin
			return s.errs
		}
		v = fieldByName(v, name)
	}
	if v.Kind() == reflect.Map {
		before := maps.Clone(origins)
		for _, entry := range s.setMap(v, a.value) {
			origins[joinKey(append(slices.Clone(path), entry)...)] = a.origin
		}
		if len(s.errs) > 0 {
			maps.Copy(origins, before)
		}
		return s.errs
	}
	s.set(v, a.value, "")
	if len(s.errs) == 0 {
		origins[key] = a.origin
	}
	return s.errs
}

// A flattener turns a parsed TOML table into assignments, and names unknown keys.
type flattener struct {
	origin func(key string) Origin
	out    []assignment
	errs   []error
}

func (f *flattener) flatten(table map[string]any, t reflect.Type, path []string) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		p := append(slices.Clone(path), name)
		key := joinKey(p...)
		ft, ok := fieldType(t, name)
		if !ok {
			f.errs = append(f.errs, &Error{Origin: f.origin(key), Key: key, Msg: unknown(t, path, name)})
			continue
		}
		sub, isTable := table[name].(map[string]any)
		switch {
		case isTable && (isSection(ft) || isNamed(ft)):
			f.flatten(sub, ft, p)
		case isSection(ft) || isNamed(ft):
			f.errs = append(f.errs, &Error{Origin: f.origin(key), Key: key, Msg: "want a table, have " + describe(table[name])})
		case isTable && ft.Kind() == reflect.Map: // entries keep their own lines
			for _, entry := range slices.Sorted(maps.Keys(sub)) {
				ep := append(slices.Clone(p), entry)
				f.out = append(f.out, assignment{path: ep, value: sub[entry], origin: f.origin(joinKey(ep...)), lines: f.origin})
			}
		default:
			f.out = append(f.out, assignment{path: p, value: table[name], origin: f.origin(key), lines: f.origin})
		}
	}
}

// envLayer reads the variables of every key: PGX_DEV_SECTION_KEY, and the older names that
// stay valid, which are weaker.
func envLayer(t reflect.Type, env lookup) []assignment {
	var out []assignment
	for _, k := range keysOf(t, nil) {
		for _, name := range slices.Backward(k.env) {
			if value, ok := env(name); ok && value != "" {
				out = append(out, assignment{path: k.path, value: text(value), origin: Origin{Kind: FromEnv, Name: name}})
			}
		}
	}
	return out
}

// envCluster reads PGX_DEV_CLUSTERS_NAME_KEY.
func envCluster(name string, env lookup) []assignment {
	return envLayerUnder(reflect.TypeFor[cluster.Config](), []string{"clusters", name}, env)
}

func envLayerUnder(t reflect.Type, path []string, env lookup) []assignment {
	var out []assignment
	for _, k := range keysOf(t, path) {
		name := k.env[0]
		if value, ok := env(name); ok && value != "" {
			out = append(out, assignment{path: k.path, value: text(value), origin: Origin{Kind: FromEnv, Name: name}})
		}
	}
	return out
}

// flagLayer reads KEY=VALUE pairs.
func flagLayer(set []string, t reflect.Type) ([]assignment, []error) {
	var out []assignment
	var errs []error
	for _, pair := range set {
		key, value, ok := strings.Cut(pair, "=")
		o := Origin{Kind: FromFlag, Name: key}
		if !ok {
			errs = append(errs, &Error{Origin: o, Msg: "want KEY=VALUE"})
			continue
		}
		path, msg := resolve(t, strings.Split(key, "."))
		if msg != "" {
			errs = append(errs, &Error{Origin: o, Msg: msg})
			continue
		}
		out = append(out, assignment{path: path, value: text(value), origin: o})
	}
	return out, errs
}

// resolve checks that path leads to a key of t. The part after a map's name is one entry,
// dots and all.
func resolve(t reflect.Type, path []string) (resolved []string, msg string) {
	for i, name := range path {
		ft, ok := fieldType(t, name)
		if !ok {
			return nil, unknown(t, path[:i], name)
		}
		if ft.Kind() == reflect.Map && !isNamed(ft) {
			if i+1 < len(path) {
				return append(slices.Clone(path[:i+1]), strings.Join(path[i+1:], ".")), ""
			}
			return path, ""
		}
		t = ft
	}
	if isSection(t) || isNamed(t) {
		keys := []string{}
		for _, k := range keysOf(t, path) {
			keys = append(keys, joinKey(k.path...))
		}
		if len(keys) == 0 {
			return nil, "is a section; name a key in it"
		}
		return nil, "is a section; its keys are " + strings.Join(keys, ", ")
	}
	return path, ""
}

// unknown words the error for a name that t does not have.
func unknown(t reflect.Type, path []string, name string) string {
	names := fieldNames(t)
	what := "unknown key"
	if len(path) == 0 {
		what = "unknown section"
	}
	if near := spell.Nearest(name, names); near != "" {
		return fmt.Sprintf("%s; did you mean %s?", what, joinKey(append(slices.Clone(path), near)...))
	}
	if len(path) == 0 { // a key of some section, without it?
		for _, k := range keysOf(t, nil) {
			if k.path[len(k.path)-1] == name {
				return fmt.Sprintf("%s; did you mean %s?", what, joinKey(k.path...))
			}
		}
	}
	return fmt.Sprintf("%s; known here: %s", what, strings.Join(names, ", "))
}

// unknownIn words it for an element of an array of tables.
func unknownIn(t reflect.Type, name string) string {
	names := fieldNames(t)
	if near := spell.Nearest(name, names); near != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", joinKey(near))
	}
	return fmt.Sprintf("unknown key; known here: %s", strings.Join(names, ", "))
}

// sortErrors puts errors in the order of the file.
func sortErrors(errs []error) {
	slices.SortStableFunc(errs, func(a, b error) int {
		var x, y *Error
		if !errors.As(a, &x) || !errors.As(b, &y) {
			return 0
		}
		return cmp.Or(cmp.Compare(x.Origin.Kind, y.Origin.Kind), cmp.Compare(x.Origin.Line, y.Origin.Line), cmp.Compare(x.Key, y.Key))
	})
}
