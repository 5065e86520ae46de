package config

import (
	"encoding"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// A key is one value that can be set.
type key struct {
	path []string
	typ  reflect.Type
	env  []string // strongest first
	enum string   // the words of a text, with commas, where its field's tag says them
}

// seedEnv are names from before pgx-dev that stay valid for a key.
func seedEnv(path string) []string {
	if path == "cluster.database" {
		return []string{"PGDATABASE"}
	}
	if key, ok := strings.CutPrefix(path, "proxy.general."); ok {
		names := []string{"PGDOG_" + strings.ToUpper(key)}
		switch key { // PgDog's names for these two are others
		case "client_login_timeout":
			names = append(names, "PGDOG_CLIENT_LOG_TIMEOUT")
		case "reload_schema_on_ddl":
			names = append(names, "PGDOG_SCHEMA_RELOAD_ON_DDL")
		}
		return names
	}
	return nil
}

// keysOf lists the keys of a struct type and its sections, in the order of the source.
// Sections that have a name of the user's choice ([clusters.NAME]) are left out.
func keysOf(t reflect.Type, path []string) []key {
	if !isSection(t) {
		return nil
	}
	var out []key
	for f := range fields(t) {
		p := append(slices.Clone(path), f.name)
		switch {
		case isSection(f.typ):
			out = append(out, keysOf(f.typ, p)...)
		case isNamed(f.typ), isTables(f.typ):
		default:
			env := append([]string{envName(p)}, seedEnv(joinKey(p...))...)
			out = append(out, key{path: p, typ: f.typ, env: env, enum: f.enum})
		}
	}
	return out
}

// envName returns the variable of a key: PGX_DEV_CLUSTER_PG for cluster.pg. What is no
// letter or digit becomes an underscore.
func envName(path []string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, strings.Join(path, "_"))
	return "PGX_DEV_" + name
}

// Keys lists every key that -o and the environment can set, as in the file.
func Keys() []string {
	var out []string
	for _, k := range keysOf(reflect.TypeFor[File](), nil) {
		out = append(out, joinKey(k.path...))
	}
	return out
}

// Values lists the words that a key of [Keys] can be set to; nil if these are not all that
// there are.
func Values(name string) []string {
	for _, k := range keysOf(reflect.TypeFor[File](), nil) {
		if joinKey(k.path...) == name {
			return k.words()
		}
	}
	return nil
}

func (k key) words() []string {
	t := k.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if k.enum != "" {
		return strings.Split(k.enum, ",")
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t)); ok {
		if unknown, ok := errors.AsType[*conf.UnknownWord](u.UnmarshalText(nil)); ok {
			return unknown.Words
		}
		return nil
	}
	if t.Kind() == reflect.Bool {
		return []string{"true", "false"}
	}
	return nil
}

type field struct {
	name  string
	typ   reflect.Type
	index int
	enum  string
}

// fields yields the fields of a struct that have a key, embedded structs' included.
func fields(t reflect.Type) func(yield func(field) bool) {
	return func(yield func(field) bool) {
		for i := range t.NumField() {
			tag := t.Field(i).Tag
			name, _, _ := strings.Cut(tag.Get("toml"), ",")
			if name == "" || name == "-" {
				continue
			}
			if !yield(field{name, t.Field(i).Type, i, tag.Get("enum")}) {
				return
			}
		}
	}
}

func fieldNames(t reflect.Type) []string {
	var names []string
	if t.Kind() == reflect.Struct {
		for f := range fields(t) {
			names = append(names, f.name)
		}
	}
	return names
}

// fieldType returns the type of a key in a section, or of a named section in a map of them.
func fieldType(t reflect.Type, name string) (reflect.Type, bool) {
	if isNamed(t) {
		return t.Elem(), true
	}
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	for f := range fields(t) {
		if f.name == name {
			return f.typ, true
		}
	}
	return nil, false
}

// fieldByName returns the field of a section; the name is known to exist.
func fieldByName(v reflect.Value, name string) reflect.Value {
	for f := range fields(v.Type()) {
		if f.name == name {
			return v.Field(f.index)
		}
	}
	panic("config: no field " + name + " in " + v.Type().String())
}

// isSection reports whether t is a table with known keys.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isNamed reports whether t is a table of sections with names of the user's choice.
func isNamed(t reflect.Type) bool { return t.Kind() == reflect.Map && isSection(t.Elem()) }

// isTables reports whether t is an array of tables.
func isTables(t reflect.Type) bool { return t.Kind() == reflect.Slice && isSection(t.Elem()) }

// joinKey writes a key as TOML does, quoting what is not a bare key.
func joinKey(path ...string) string {
	var b strings.Builder
	for i, p := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		if isBare(p) {
			b.WriteString(p)
		} else {
			b.WriteString(quote(p))
		}
	}
	return b.String()
}

func isBare(s string) bool {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-':
		default:
			return false
		}
	}
	return s != ""
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
