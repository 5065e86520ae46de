package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
)

// wasmRuntime is the name by which runtime commands know PostgreSQL for WebAssembly.
const wasmRuntime = "wasm"

// wasmStore returns where the configuration keeps it.
func wasmStore(cfg wasm.Config) (string, error) {
	if cfg.Store != "" {
		return cfg.Store, nil
	}
	cache, err := place.Cache()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "wasm"), nil
}

// wasmFiles finds what is unpacked, and fetches nothing.
func wasmFiles(ctx context.Context, cfg wasm.Config) (files pglite.Files, there bool, err error) {
	store, err := wasmStore(cfg)
	if err != nil {
		return files, false, err
	}
	unpacked, err := unpackedIn(store)
	if err != nil || !slices.ContainsFunc(unpacked, func(dir string) bool { return !isTools(dir) }) {
		return files, false, err
	}
	files, err = pglite.Source{Dir: store, Offline: true}.Open(ctx)
	return files, err == nil, nil
}

// isTools reports whether a package's directory is that of pg_dump.
func isTools(dir string) bool { return strings.HasPrefix(filepath.Base(dir), "tools-") }

// unpackedIn lists the directories of packages in a store.
func unpackedIn(store string) ([]string, error) {
	marks, err := filepath.Glob(filepath.Join(store, "*", "ORIGIN"))
	dirs := make([]string, 0, len(marks))
	for _, m := range marks {
		dirs = append(dirs, filepath.Dir(m))
	}
	return dirs, err
}

// installWasm fetches and compiles everything that the wasm engine may need.
func (c *runtimeInstallCmd) installWasm(ctx context.Context, env *Env, cfg wasm.Config) error {
	if c.Unpinned {
		return usageError("the wasm engine is made for one version of its package; --unpinned is for native ones")
	}
	if c.From != "" {
		if err := checkPackage(c.From); err != nil {
			return err
		}
		cfg.Packages = []string{c.From}
	}
	line := env.UI.Progress("install PostgreSQL for WebAssembly", ui.Steps)
	defer line.Stop()
	cfg.Log, cfg.Progress = env.Log, line.Detail
	engine := wasm.New(cfg)
	err := engine.Install(ctx, func(module string, done, total int) {
		line.Set(int64(done), int64(total))
		if module != "" {
			line.Detail("compile " + strings.TrimSuffix(module, ".so"))
		}
	})
	line.Stop()
	if err = errors.Join(err, engine.Close()); err != nil {
		return fmt.Errorf("install the wasm runtime: %w", err)
	}
	files, there, err := wasmFiles(ctx, cfg)
	if err != nil || !there {
		return errors.Join(err, errors.New("embed.cache is off: nothing was kept"))
	}
	version, _, _ := pglite.ServerVersion()
	if c.JSON {
		return printJSON(env, runtimeRow{Version: version, Origin: wasmRuntime, Bindir: files.Dir, Installed: true})
	}
	env.UI.Note("PostgreSQL %s for WebAssembly is installed, with its extensions", version)
	env.UI.Printf("%s\n", files.Dir)
	return nil
}

// checkPackage returns an error unless a file is one of the packages that are pinned.
func checkPackage(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	err = pglite.Main().Verify(b)
	if err != nil && (pglite.Vector().Verify(b) == nil || pglite.Tools().Verify(b) == nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// removeWasm removes packages, compiled code and templates from the store.
func removeWasm(ctx context.Context, cfg wasm.Config) error {
	store, err := wasmStore(cfg)
	if err != nil {
		return err
	}
	doomed, err := unpackedIn(store)
	if err != nil {
		return err
	}
	if len(doomed) == 0 {
		return fmt.Errorf("PostgreSQL for WebAssembly is not installed: %w", engines.ErrNotExist)
	}
	unlock, err := wasm.LockStore(store)
	if err != nil {
		return fmt.Errorf("remove PostgreSQL for WebAssembly: %w", err)
	}
	defer func() { _ = unlock() }()
	tarballs, err := filepath.Glob(filepath.Join(store, "*.tgz"))
	if err != nil {
		return err
	}
	doomed = slices.Concat(doomed, tarballs, []string{filepath.Join(store, "compiled"), filepath.Join(store, "template")})
	var errs []error
	for _, path := range doomed {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// An asset is one piece of the wasm runtime: where it comes from, and on which terms.
type asset struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	License string `json:"license"`
	From    string `json:"from"`
}

// wasmAssets lists the packages and the extensions in them.
func wasmAssets(ctx context.Context, files pglite.Files) ([]asset, error) {
	main, vector, tools := pglite.Main(), pglite.Vector(), pglite.Tools()
	out := []asset{
		{main.Provides, main.Version, main.License, fmt.Sprintf("%s %s (%s)", main.Name, main.Version, files.Origin)},
	}
	if _, from, err := (pglite.Source{Dir: filepath.Dir(files.Dir), Offline: true}).PgDump(ctx); err == nil {
		out = append(out, asset{tools.Provides, tools.Version, tools.License, fmt.Sprintf("%s %s (%s)", tools.Name, tools.Version, from)})
	}
	names, err := files.Extensions()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		from, license := main, "PostgreSQL"
		switch name {
		case "vector":
			from = vector
		case "pgcrypto":
			license = "PostgreSQL AND Apache-2.0 (OpenSSL)"
		}
		out = append(out, asset{"extension " + name, extensionVersion(files, name), license, from.Name + " " + from.Version})
	}
	return out, nil
}

// extensionVersion reads the default version in an extension's control file, "" if there is
// none.
func extensionVersion(files pglite.Files, name string) string {
	b, err := os.ReadFile(filepath.Join(files.Dir, "root", "pglite", "share", "postgresql", "extension", name+".control"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "default_version" {
			return strings.Trim(strings.TrimSpace(value), "'")
		}
	}
	return ""
}
