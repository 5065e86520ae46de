package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Setting is one value in effect.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"` // bool, number, string, []any, map[string]any, or nil if unset; secrets are "***"
	Origin string `json:"origin"`
	Env    string `json:"env,omitempty"` // the variable that would set it
}

// Settings lists every value in effect, in the order of the sections. Of a named cluster
// it lists what is its own.
func (c *Config) Settings() []Setting {
	out := c.settings(reflect.ValueOf(c.File), nil, false)
	for _, name := range sortedKeys(reflect.ValueOf(c.Clusters)) {
		cfg := c.Clusters[name.String()]
		out = append(out, c.settings(reflect.ValueOf(cfg), []string{"clusters", name.String()}, true)...)
	}
	return out
}

// settings lists the values of a section; if own is set, only those that are not defaults.
func (c *Config) settings(section reflect.Value, path []string, own bool) []Setting {
	var out []Setting
	add := func(p []string, env string, v reflect.Value) {
		o, ok := c.origins[joinKey(p...)]
		if ok || !own {
			out = append(out, Setting{Key: joinKey(p...), Value: plain(p[len(p)-1], v), Origin: o.String(), Env: env})
		}
	}
	for f := range fields(section.Type()) {
		v, p := section.Field(f.index), append(slices.Clone(path), f.name)
		switch {
		case isSection(f.typ):
			out = append(out, c.settings(v, p, own)...)
		case isNamed(f.typ):
		case v.Kind() == reflect.Map && v.Len() > 0:
			for _, entry := range sortedKeys(v) {
				add(append(slices.Clone(p), entry.String()), envName(p), v.MapIndex(entry))
			}
		case isTables(f.typ):
			add(p, "", v)
		default:
			add(p, envName(p), v)
		}
	}
	return out
}

// plain turns a field into what JSON and TOML have, without what nobody should read over a
// shoulder or in a bug report. name is the field's key.
func plain(name string, v reflect.Value) any {
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		if b, err := m.MarshalText(); err == nil {
			return redacted(name, string(b))
		}
	}
	if d, ok := reflect.TypeAssert[time.Duration](v); ok {
		return shortDuration(d)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(name, v.Elem())
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(name, v.Elem())
	case reflect.String:
		return redacted(name, v.String())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(name, v.Index(i))
		}
		return list
	case reflect.Map:
		table := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			table[it.Key().String()] = plain(it.Key().String(), it.Value())
		}
		return table
	case reflect.Struct:
		table := map[string]any{}
		for f := range fields(v.Type()) {
			if !v.Field(f.index).IsZero() {
				table[f.name] = plain(f.name, v.Field(f.index))
			}
		}
		return table
	}
	return v.Interface()
}

// redacted hides the secret in a value, or the value if its name says that it is one.
func redacted(name, s string) string {
	if s != "" && secretName.MatchString(name) {
		return "***"
	}
	s = secretPair.ReplaceAllString(s, "${1}***")
	return secretURL.ReplaceAllString(s, "${1}***@")
}

var (
	secretName = regexp.MustCompile(`(?i)(^|_)(passwords?|password_hash|passwd|passphrase|secret|token|private_key|api_key)$`)
	secretPair = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|sslpassword)\s*=\s*)('[^']*'|[^\s,"'}]+)`)
	secretURL  = regexp.MustCompile(`([a-z]+://[^:/@\s"]*:)[^@\s"]*@`)
)

// Text writes the value as TOML does; what is not set is "(unset)".
func (s Setting) Text() string { return format(s.Value) }

func format(value any) string {
	switch v := value.(type) {
	case nil:
		return "(unset)"
	case string:
		return quote(v)
	case []any:
		elems := make([]string, len(v))
		for i := range elems {
			elems[i] = format(v[i])
		}
		return "[" + strings.Join(elems, ", ") + "]"
	case map[string]any:
		var elems []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			elems = append(elems, joinKey(key)+" = "+format(v[key]))
		}
		return "{" + strings.Join(elems, ", ") + "}"
	}
	return fmt.Sprint(value)
}

// shortDuration is [time.Duration.String] without "0s" after minutes and hours.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func itoa(n int) string { return strconv.Itoa(n) }
