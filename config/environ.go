package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/config/spell"
)

// unknownEnv names the variables that look like a key of one of the sections and are none:
// a slip of the pen there would otherwise do nothing, silently. Other PGX_DEV_ variables
// are left to whoever made them up.
func unknownEnv(t reflect.Type, names []string) []error {
	var known []string
	for _, k := range keysOf(t, nil) {
		known = append(known, k.env[0])
	}
	var errs []error
	for _, name := range slices.Sorted(slices.Values(names)) {
		if slices.Contains(forChildren(), name) {
			continue
		}
		for f := range fields(t) {
			prefix := envName([]string{f.name}) + "_"
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			candidates := known
			if isNamed(f.typ) {
				candidates = namedEnv(f.typ.Elem(), prefix, name)
			}
			if slices.Contains(candidates, name) {
				continue
			}
			msg := "no such key"
			if near := spell.Nearest(name, candidates); near != "" {
				msg = fmt.Sprintf("no such key; did you mean %s?", near)
			}
			errs = append(errs, &Error{Origin: Origin{Kind: FromEnv, Name: name}, Msg: msg})
		}
	}
	return errs
}

// forChildren lists the variables that look like keys of a section and tell something else:
// to the processes that lease a database, and, the last one, to the Go package leasetest.
func forChildren() []string {
	return []string{"PGX_DEV_LEASE_ID", "PGX_DEV_LEASE_PID", "PGX_DEV_LEASE_URL"}
}

// namedEnv lists the variables of a section whose name is the user's choice, for the name
// that variable seems to have: what stands before the last words.
func namedEnv(section reflect.Type, prefix, variable string) []string {
	words := strings.Split(strings.TrimPrefix(variable, prefix), "_")
	var out []string
	for i := 1; i < len(words); i++ {
		for _, k := range keysOf(section, nil) {
			out = append(out, prefix+strings.Join(words[:i], "_")+strings.TrimPrefix(envName(k.path), "PGX_DEV"))
		}
	}
	return out
}
