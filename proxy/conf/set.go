package conf

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settable are the keys that the admin database's SET may change while the proxy runs, in
// the order in which they are shown. Those of [rewrite] have that word in front.
func settable() []string {
	return []string{
		"query_timeout", "checkout_timeout", "auth_type", "passthrough_auth", "read_write_strategy", "read_write_split",
		"load_balancing_strategy", "prepared_statements_limit", "prepared_statements", "cross_shard_disabled", "two_phase_commit",
		"two_phase_commit_auto", "rewrite_shard_key_updates", "rewrite_split_inserts", "rewrite_primary_key", "rewrite_enabled",
		"healthcheck_interval", "idle_healthcheck_interval", "idle_healthcheck_delay", "ban_timeout", "tls_client_required",
		"query_parser", "client_idle_in_transaction_timeout", "reload_schema_on_ddl", "connection_recovery",
		"client_connection_recovery", "default_pool_size", "connect_timeout", "canonicalize_type_information", "dry_run",
	}
}

// Settable reports whether [Config.Set] knows a key.
func Settable(key string) bool {
	return slices.Contains(settable(), key)
}

// Set changes one of the keys that may be changed while the proxy runs. Durations are
// numbers of milliseconds, or as "5s". c is unchanged after an error; it is not validated.
func (c *Config) Set(key, value string) error {
	if !Settable(key) {
		return fmt.Errorf("%q cannot be set; these can: %s", key, strings.Join(settable(), ", "))
	}
	v := reflect.ValueOf(&c.General).Elem()
	if rest, ok := strings.CutPrefix(key, "rewrite_"); ok {
		v = reflect.ValueOf(&c.Rewrite).Elem()
		key = strings.TrimSuffix(rest, "_updates")
	}
	f, ok := fieldOf(v, key)
	if !ok {
		return fmt.Errorf("there is no key %q", key)
	}
	if f.Kind() == reflect.Pointer {
		p := reflect.New(f.Type().Elem())
		if err := setText(p.Elem(), value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		f.Set(p)
		return nil
	}
	if err := setText(f, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("toml") == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func setText(f reflect.Value, value string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](f.Addr()); ok {
		return u.UnmarshalText([]byte(value))
	}
	if f.Type() == reflect.TypeFor[time.Duration]() {
		n, err := strconv.ParseInt(value, 10, 64)
		d := time.Duration(n) * time.Millisecond
		if err != nil {
			d, err = time.ParseDuration(value)
		} else if n > math.MaxInt64/int64(time.Millisecond) {
			d = 0 // PgDog's greatest number is no limit
		}
		if err != nil || d < 0 {
			return fmt.Errorf("want a number of milliseconds or a duration such as 5s, have %q", value)
		}
		f.SetInt(int64(d))
		return nil
	}
	switch f.Kind() {
	case reflect.Bool:
		b, err := boolean(value)
		if err != nil {
			return fmt.Errorf("want on or off, have %q", value)
		}
		f.SetBool(b)
	case reflect.Int:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return fmt.Errorf("want a number, have %q", value)
		}
		f.SetInt(n)
	default:
		return fmt.Errorf("cannot be set")
	}
	return nil
}

// A Setting is one key of [General] with its value, for people. Durations are in
// milliseconds, as PgDog shows them.
type Setting struct {
	Key, Value, Default string
	// Changeable says that Set knows it.
	Changeable bool
}

// Settings lists every key of [General].
func (c *Config) Settings() []Setting {
	def := DefaultConfig()
	v, d := reflect.ValueOf(c.General), reflect.ValueOf(def.General)
	var out []Setting
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		out = append(out, Setting{Key: key, Value: text(v.Field(i)), Default: text(d.Field(i)), Changeable: Settable(key)})
	}
	return out
}

func text(f reflect.Value) string {
	if f.Kind() == reflect.Pointer {
		if f.IsNil() {
			return ""
		}
		return text(f.Elem())
	}
	switch v := f.Interface().(type) {
	case time.Duration:
		return strconv.FormatInt(v.Milliseconds(), 10)
	case Seconds:
		return strconv.FormatInt(int64(v.Duration().Seconds()), 10)
	case bool:
		if v {
			return "on"
		}
		return "off"
	}
	return fmt.Sprint(f.Interface())
}
