package config

import (
	"encoding"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A setter converts values into Go fields and collects what does not fit.
type setter struct {
	fail func(sub, msg string) *Error // sub is the part within the value: "[1].host"
	errs []error
	// proxy takes what PgDog's files and variables say: durations are numbers of
	// milliseconds, and variables may say yes and no.
	proxy bool
}

func (s *setter) errorf(sub, format string, args ...any) {
	s.errs = append(s.errs, s.fail(sub, fmt.Sprintf(format, args...)))
}

// set converts value, which is what TOML decodes to or text, into v.
func (s *setter) set(v reflect.Value, value any, sub string) {
	if t, ok := value.(text); ok {
		s.setText(v, string(t), sub)
		return
	}
	if u, ok := reflect.TypeAssert[toml.Unmarshaler](v.Addr()); ok {
		if err := u.UnmarshalTOML(value); err != nil {
			s.errorf(sub, "%v", err)
		}
		return
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		str, ok := value.(string)
		if !ok {
			s.errorf(sub, "want a string, have %s", describe(value))
		} else if err := u.UnmarshalText([]byte(str)); err != nil {
			s.errorf(sub, "%v", err)
		}
		return
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		str, isString := value.(string)
		n, isNumber := value.(int64)
		switch {
		case isString:
			s.setText(v, str, sub)
		case isNumber && s.proxy:
			s.setMillis(v, n, sub)
		case s.proxy:
			s.errorf(sub, "want a number of milliseconds or a duration such as \"90s\", have %s", describe(value))
		default:
			s.errorf(sub, "want a duration such as \"90s\" or \"5m\", have %s", describe(value))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		n := len(s.errs)
		if s.set(p.Elem(), value, sub); len(s.errs) == n {
			v.Set(p)
		}
	case reflect.String:
		if str, ok := value.(string); ok {
			v.SetString(str)
		} else {
			s.errorf(sub, "want a string, have %s", describe(value))
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			v.SetBool(b)
		} else {
			s.errorf(sub, "want true or false, have %s", describe(value))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := value.(int64); !ok {
			s.errorf(sub, "want a number, have %s", describe(value))
		} else if v.OverflowInt(n) {
			s.errorf(sub, "%d is out of range", n)
		} else {
			v.SetInt(n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, ok := value.(int64); !ok {
			s.errorf(sub, "want a number, have %s", describe(value))
		} else if n < 0 || v.OverflowUint(uint64(n)) {
			s.errorf(sub, "%d is out of range", n)
		} else {
			v.SetUint(uint64(n))
		}
	case reflect.Float32, reflect.Float64:
		switch n := value.(type) {
		case float64:
			v.SetFloat(n)
		case int64:
			v.SetFloat(float64(n))
		default:
			s.errorf(sub, "want a number, have %s", describe(value))
		}
	case reflect.Slice:
		s.setSlice(v, value, sub)
	case reflect.Map:
		s.setMap(v, value)
	case reflect.Struct:
		s.setStruct(v, value, sub)
	case reflect.Interface: // in a section that nobody reads
		v.Set(reflect.ValueOf(value))
	default:
		panic("config: no conversion to " + v.Type().String())
	}
}

// setMillis sets a duration from a number of milliseconds. PgDog writes "without limit" as
// the greatest number there is.
func (s *setter) setMillis(v reflect.Value, n int64, sub string) {
	switch {
	case n < 0:
		s.errorf(sub, "want a number of milliseconds, have %d", n)
	case n > math.MaxInt64/int64(time.Millisecond):
		v.SetInt(math.MaxInt64)
	default:
		v.SetInt(n * int64(time.Millisecond))
	}
}

func (s *setter) setSlice(v reflect.Value, value any, sub string) {
	list, ok := asList(value)
	if !ok {
		s.errorf(sub, "want a list, have %s", describe(value))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(list), len(list))
	for i, elem := range list {
		s.set(out.Index(i), elem, fmt.Sprintf("%s[%d]", sub, i))
	}
	v.Set(out)
}

// setStruct fills an element of an array of tables.
func (s *setter) setStruct(v reflect.Value, value any, sub string) {
	table, ok := value.(map[string]any)
	if !ok {
		s.errorf(sub, "want a table, have %s", describe(value))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if _, ok := fieldType(v.Type(), name); !ok {
			s.errorf(sub+"."+joinKey(name), "%s", unknownIn(v.Type(), name))
			continue
		}
		s.set(fieldByName(v, name), table[name], sub+"."+joinKey(name))
	}
}

// setMap adds the entries of value to the map v and returns their names.
func (s *setter) setMap(v reflect.Value, value any) []string {
	if t, ok := value.(text); ok {
		parsed, err := parseMap(string(t))
		if err != nil {
			s.errorf("", "%v", err)
			return nil
		}
		value = parsed
	}
	table, ok := value.(map[string]any)
	if !ok {
		s.errorf("", "want a table, have %s", describe(value))
		return nil
	}
	names := slices.Sorted(maps.Keys(table))
	for _, name := range names {
		s.setEntry(v, name, table[name])
	}
	return names
}

// setEntry sets one entry of a map. In a map of strings, numbers and booleans are taken as
// they are written: work_mem = 65536 is a server setting like any other.
func (s *setter) setEntry(v reflect.Value, name string, value any) {
	elem := reflect.New(v.Type().Elem()).Elem()
	if elem.Kind() == reflect.String {
		switch scalar := value.(type) {
		case int64, float64, bool:
			value = fmt.Sprint(scalar)
		}
	}
	n := len(s.errs)
	if s.set(elem, value, ""); len(s.errs) > n {
		return
	}
	merged := reflect.MakeMap(v.Type()) // never the default's own map
	for it := v.MapRange(); it.Next(); {
		merged.SetMapIndex(it.Key(), it.Value())
	}
	merged.SetMapIndex(reflect.ValueOf(name), elem)
	v.Set(merged)
}

// setText converts a value from the environment or a flag.
func (s *setter) setText(v reflect.Value, str, sub string) {
	_, isTOML := reflect.TypeAssert[toml.Unmarshaler](v.Addr())
	_, isText := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
	if isTOML || isText {
		s.set(v, str, sub)
		return
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		if n, err := strconv.ParseInt(str, 10, 64); err == nil && s.proxy {
			s.setMillis(v, n, sub)
			return
		}
		d, err := time.ParseDuration(str)
		if err != nil || d < 0 {
			s.errorf(sub, "want a duration such as 90s or 5m, have %q", str)
			return
		}
		v.SetInt(int64(d))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(str)
		if word := strings.ToLower(str); s.proxy && slices.Contains([]string{"yes", "on", "no", "off"}, word) {
			b, err = word == "yes" || word == "on", nil
		}
		if err != nil {
			s.errorf(sub, "want true or false, have %q", str)
			return
		}
		v.SetBool(b)
	case reflect.Slice:
		list, err := parseList(str)
		if err != nil {
			s.errorf(sub, "%v", err)
			return
		}
		s.setSlice(v, list, sub)
	case reflect.Map:
		s.setMap(v, text(str))
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		n := len(s.errs)
		if s.set(p.Elem(), text(str), sub); len(s.errs) == n {
			v.Set(p)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseInt(str, 10, 64)
		if err != nil {
			s.errorf(sub, "want a number, have %q", str)
			return
		}
		s.set(v, n, sub)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(str, 64)
		if err != nil {
			s.errorf(sub, "want a number, have %q", str)
			return
		}
		v.SetFloat(n)
	default:
		s.set(v, str, sub)
	}
}

// parseList reads a list: TOML's [ … ], or words separated by commas.
func parseList(str string) ([]any, error) {
	if strings.HasPrefix(str, "[") {
		var doc struct{ V []any }
		if _, err := toml.Decode("V = "+str, &doc); err != nil {
			return nil, fmt.Errorf("want a list such as a,b or [\"a\", \"b\"], have %q", str)
		}
		return doc.V, nil
	}
	var out []any
	for word := range strings.SplitSeq(str, ",") {
		out = append(out, text(strings.TrimSpace(word)))
	}
	return out, nil
}

// parseMap reads a table: TOML's { … }, or k=v pairs separated by commas.
func parseMap(str string) (map[string]any, error) {
	if strings.HasPrefix(str, "{") {
		var doc struct{ V map[string]any }
		if _, err := toml.Decode("V = "+str, &doc); err != nil {
			return nil, fmt.Errorf("want a table such as a=1,b=2 or {a = 1, b = \"x,y\"}, have %q", str)
		}
		return doc.V, nil
	}
	out := map[string]any{}
	for pair := range strings.SplitSeq(str, ",") {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("want k=v pairs, have %q in %q", pair, str)
		}
		out[strings.TrimSpace(k)] = text(strings.TrimSpace(v))
	}
	return out, nil
}

// asList returns the elements of a TOML array, of tables or of values.
func asList(value any) ([]any, bool) {
	switch list := value.(type) {
	case []any:
		return list, true
	case []map[string]any:
		out := make([]any, len(list))
		for i := range list {
			out[i] = list[i]
		}
		return out, true
	}
	return nil, false
}

// describe names a TOML value for an error message.
func describe(value any) string {
	switch v := value.(type) {
	case string:
		return "the string " + quote(v)
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	case int64, float64:
		return fmt.Sprintf("the number %v", v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	case text:
		return strconv.Quote(string(v))
	}
	return fmt.Sprintf("%v", value)
}
