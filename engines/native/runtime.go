package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A Runtime is an installed PostgreSQL: the directory of its programs and their version.
type Runtime struct {
	Bindir  string  `json:"bindir"`
	Version Version `json:"version"`
	Origin  Origin  `json:"origin"`
	// Default marks the runtime that a new cluster gets when it asks for no version.
	Default bool `json:"default"`
}

// Program returns the path of one of the runtime's programs. It need not exist: packaged
// runtimes have postgres, initdb and pg_ctl only.
func (r Runtime) Program(name string) string { return filepath.Join(r.Bindir, name) }

// Runtimes returns every PostgreSQL that can be found, in ascending order of version, the
// places searched first before others of the same version. A program that does not run is
// left out. The error is that of ctx.
func (e *Engine) Runtimes(ctx context.Context) ([]Runtime, error) {
	var all []Runtime
	for _, p := range e.places() {
		all = append(all, e.probeAll(ctx, p)...)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all = dedupe(all)
	if rt, err := e.find(ctx, e.cfg.Default); err == nil {
		for i := range all {
			all[i].Default = all[i].Bindir == rt.Bindir
		}
	}
	slices.SortStableFunc(all, func(a, b Runtime) int { return a.Version.Compare(b.Version) })
	return all, nil
}

// Select returns the runtime for a version constraint, by the rule: of the places searched
// the first that has a match, and there the newest match. An empty constraint means
// Config.Default. With Config.Auto a packaged version is installed where nothing matches.
// The error wraps engines.ErrNoRuntime if there is none.
func (e *Engine) Select(ctx context.Context, constraint string) (Runtime, error) {
	if constraint == "" {
		constraint = e.cfg.Default
	}
	rt, err := e.find(ctx, constraint)
	if err == nil || !errors.Is(err, engines.ErrNoRuntime) || !e.cfg.Auto || strings.Contains(constraint, "/") {
		return rt, err
	}
	got, installErr := e.Install(ctx, constraint, InstallOptions{})
	if installErr != nil {
		return Runtime{}, fmt.Errorf("%w\ninstalling one did not work: %w", err, installErr)
	}
	return got, nil
}

// find is Select without installing.
func (e *Engine) find(ctx context.Context, constraint string) (Runtime, error) {
	c, err := ParseConstraint(constraint)
	if err != nil {
		return Runtime{}, err
	}
	places := e.places()
	if c.IsGlob() {
		// The glob may name a directory that is in none of the usual places.
		if dirs := e.expand(constraint); len(dirs) > 0 {
			places = slices.Insert(places, 0, searchPlace{OriginGiven, dirs})
		}
	}
	var seen []Runtime
	for _, p := range places {
		rts := e.probeAll(ctx, p)
		if err := ctx.Err(); err != nil {
			return Runtime{}, err
		}
		seen = append(seen, rts...)
		rts = slices.DeleteFunc(rts, func(rt Runtime) bool { return !c.Match(rt) })
		if len(rts) > 0 {
			return slices.MaxFunc(rts, func(a, b Runtime) int { return a.Version.Compare(b.Version) }), nil
		}
	}
	return Runtime{}, e.noRuntime(c, seen, places)
}

// noRuntime builds the error that says what was wanted, what is there and what to do.
func (e *Engine) noRuntime(c Constraint, seen []Runtime, places []searchPlace) error {
	var b strings.Builder
	if c.String() == "" {
		b.WriteString("no PostgreSQL found")
	} else {
		fmt.Fprintf(&b, "no PostgreSQL %s found", c)
	}
	if have := dedupe(seen); len(have) > 0 {
		slices.SortStableFunc(have, func(a, b Runtime) int { return a.Version.Compare(b.Version) })
		b.WriteString("; there is ")
		for i, rt := range have {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s in %s", rt.Version, rt.Bindir)
		}
	}
	b.WriteString("; looked in ")
	for i, p := range places {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.describe())
	}
	if pin, ok := e.newestPin(c); ok {
		fmt.Fprintf(&b, "; fetch one with `pgx-dev runtime install %s`", pin.Version.Major())
	}
	if c.IsGlob() {
		b.WriteString("; name a directory that holds postgres and initdb")
		return &noRuntimeError{text: b.String()}
	}
	b.WriteString("; install your distribution's PostgreSQL server package, or name its programs' directory in runtime.bindirs")
	return &noRuntimeError{text: b.String()}
}

// noRuntimeError has a text that reads well and still is engines.ErrNoRuntime.
type noRuntimeError struct{ text string }

func (e *noRuntimeError) Error() string        { return e.text }
func (e *noRuntimeError) Is(target error) bool { return target == engines.ErrNoRuntime }

// dedupe drops runtimes whose postgres is the same file as an earlier one's.
func dedupe(rts []Runtime) []Runtime {
	seen := map[string]bool{}
	var out []Runtime
	for _, rt := range rts {
		real, err := filepath.EvalSymlinks(rt.Program("postgres"))
		key := cmp.Or(real, rt.Bindir)
		if err == nil && seen[key] {
			continue
		}
		seen[key] = true
		out = append(out, rt)
	}
	return out
}
