// Package config joins each subsystem's own configuration into one file, pgx-dev.toml.
//
// A value is decided by, from strongest to weakest: a flag (-o KEY=VALUE, or a command's
// own flag laid over the result by the command), an environment variable
// (PGX_DEV_SECTION_KEY), the file, the subsystem's default. Unknown keys and values of the
// wrong type are errors wherever they stand, and all of them are reported at once.
//
// A subsystem adds itself by a field in [File]; the keys, their environment variables, the
// sample file and "config show" follow from the struct and its comments.
package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// File is the format of pgx-dev.toml: one section for each subsystem. Every field's zero
// value, or the subsystem's DefaultConfig, is its default.
type File struct {
	Runtime native.Config  `toml:"runtime"`
	Embed   wasm.Config    `toml:"embed"`
	Cluster cluster.Config `toml:"cluster"`
	Wire    Wire           `toml:"wire"`
	// Clusters overlays Cluster for the clusters it names. After [Load] its entries are
	// complete: what they leave out is as in Cluster.
	Clusters map[string]cluster.Config `toml:"clusters"`
	Lease    lease.Config              `toml:"lease"`
	Proxy    conf.Config               `toml:"proxy"`
}

// Default returns the configuration that an empty file and environment give.
func Default() File {
	return File{Runtime: native.DefaultConfig(), Embed: wasm.DefaultConfig(), Proxy: conf.DefaultConfig()}
}

// A Config is a loaded configuration. It is read-only once loaded, and then safe for
// concurrent use.
type Config struct {
	File
	// Path is the file that was read; empty if there was none.
	Path string
	// Project is whether Path belongs to a project, as opposed to the user: state then
	// lives beside it.
	Project bool

	layers  [3][]assignment // file, environment, flags
	environ lookup
	origins map[string]Origin
	lines   func(key string) Origin // of the file
}

// Cluster returns the configuration of the cluster called name: [cluster], overlaid by
// [clusters.NAME], the environment and flags.
func (c *Config) Cluster(name string) (cluster.Config, error) {
	cfg, _, errs := c.cluster(name)
	return cfg, joined(errs)
}

// An Origin says where a value comes from.
type Origin struct {
	Kind Kind
	Name string // the file, the variable or the flag
	Line int    // in a file
}

// A Kind is one of the places that values come from, weakest first.
type Kind int

// The places that values come from.
const (
	FromDefault Kind = iota
	FromFile
	FromEnv
	FromFlag
)

// String returns the origin as a person would look it up: "default", "pgx-dev.toml:3",
// "$PGX_DEV_RUNTIME_AUTO", "-o runtime.auto".
func (o Origin) String() string {
	switch o.Kind {
	case FromFile:
		if o.Line > 0 {
			return fmt.Sprintf("%s:%d", o.Name, o.Line)
		}
		return o.Name
	case FromEnv:
		return "$" + o.Name
	case FromFlag:
		return "-o " + o.Name
	}
	return "default"
}

// An Error is one mistake in the configuration.
type Error struct {
	Origin Origin
	Key    string // as in the file: "runtime.auto"
	Msg    string
}

// Error returns "ORIGIN: KEY: what is wrong".
func (e *Error) Error() string {
	if e.Origin.Kind == FromDefault && e.Key != "" {
		return fmt.Sprintf("%s: %s", e.Key, e.Msg)
	}
	if e.Key == "" || e.Origin.Kind == FromFlag && e.Origin.Name == e.Key {
		return fmt.Sprintf("%s: %s", e.Origin, e.Msg)
	}
	return fmt.Sprintf("%s: %s: %s", e.Origin, e.Key, e.Msg)
}

// validator is what a subsystem's Config may implement to check values that the type alone
// does not.
type validator interface{ Validate() error }

// validate asks each section that can to check itself. at says where a key was set.
func validate(root reflect.Value, prefix string, at func(key string) Origin) []error {
	var errs []error
	check := func(v reflect.Value, name string) {
		valid, ok := reflect.TypeAssert[validator](v)
		if !ok {
			return
		}
		for _, err := range parts(valid.Validate()) {
			if m, ok := errors.AsType[*conf.Mistake](err); ok {
				key := name + "." + m.Key
				errs = append(errs, &Error{Origin: at(key), Key: key, Msg: m.Msg})
				continue
			}
			errs = append(errs, fmt.Errorf("[%s]: %w", name, err))
		}
	}
	for i := range root.NumField() {
		name := root.Type().Field(i).Tag.Get("toml")
		switch f := root.Field(i); {
		case f.Kind() == reflect.Struct:
			check(f, prefix+name)
		case f.Kind() == reflect.Map && f.Type().Elem().Kind() == reflect.Struct:
			for _, key := range sortedKeys(f) {
				check(f.MapIndex(key), prefix+joinKey(name, key.String()))
			}
		}
	}
	return errs
}

// parts takes a joined error apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// at returns where a key, or the nearest table around it, was set.
func (c *Config) at(key string) Origin {
	for k := key; k != ""; {
		if o, ok := c.origins[k]; ok {
			if o.Kind == FromFile && c.lines != nil {
				return c.lines(key)
			}
			return o
		}
		i := max(strings.LastIndexByte(k, '.'), strings.LastIndexByte(k, '['))
		if i < 0 {
			break
		}
		k = k[:i]
	}
	return Origin{}
}
