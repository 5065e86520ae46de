package commands

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

func checkState(_ context.Context, env *Env) []Finding {
	dir, err := env.StateDir()
	if err != nil {
		return []Finding{{Broken, err.Error(), ""}}
	}
	if f := checkWritable(dir, "choose another place by --state-dir or "+EnvState); f != nil {
		return f
	}
	out := space(dir, 100e6, "free some, or choose another place by --state-dir or "+EnvState)
	fi, err := os.Stat(dir)
	if err != nil {
		out[0].Text += " (not made yet)"
		return out
	}
	if fi.Mode().Perm()&0o077 != 0 {
		out = append(out, Finding{Warning, fmt.Sprintf("others may read %s (mode %04o)", dir, fi.Mode().Perm()), "chmod 700 " + dir})
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Getuid() && os.Getuid() != 0 {
		out = append(out, Finding{Broken, fmt.Sprintf("%s belongs to user %d", dir, st.Uid), "chown it, or choose another place by --state-dir"})
	}
	names, err := cluster.Names(dir)
	if err != nil {
		return append(out, Finding{Broken, err.Error(), ""})
	}
	if len(names) > 0 {
		out = append(out, Finding{Fine, "clusters: " + strings.Join(names, ", "), ""})
	}
	return out
}

// checkStale names what killed processes left behind. Nothing of it is in the way: the
// next command on the same cluster puts it right.
func checkStale(ctx context.Context, env *Env) []Finding {
	dir, err := env.StateDir()
	if err != nil {
		return nil // checkState has said so
	}
	var out []Finding
	entries, _ := os.ReadDir(dir) // missing: nothing can be stale
	for _, e := range entries {
		if i := strings.LastIndex(e.Name(), ".tmp-"); i >= 0 {
			pid, err := strconv.Atoi(strings.TrimSuffix(e.Name()[i+len(".tmp-"):], ".pgx-dev")) // or its control directory
			if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
				out = append(out, Finding{Hint, fmt.Sprintf("%s was being made or removed when process %d ended", e.Name(), pid), "rm -r " + filepath.Join(dir, e.Name())})
			}
		}
	}
	names, _ := cluster.Names(dir) // checkState has said so
	for _, name := range names {
		st, err := cluster.Inspect(ctx, filepath.Join(dir, name))
		if err != nil {
			out = append(out, Finding{Warning, fmt.Sprintf("%s: %v", name, err), ""})
			continue
		}
		if st.State == cluster.Stopped && exists(filepath.Join(st.Dir, "postmaster.pid")) {
			out = append(out, Finding{Hint, name + " was not stopped properly", fmt.Sprintf("nothing need be done; \"pgx-dev up %s\" recovers it", name)})
		}
	}
	out = append(out, staleElsewhere(env)...)
	if len(out) == 0 {
		return fine("none")
	}
	return out
}

// staleElsewhere names what killed processes left outside of the state directory.
func staleElsewhere(env *Env) (out []Finding) {
	if cfg, err := env.Config(); err == nil { // checkConfig has said so
		for _, dir := range native.New(cfg.Runtime).Leftovers() {
			out = append(out, Finding{Hint, fmt.Sprintf("%s was left by a \"runtime install\" or \"rm\" that was killed", dir), "nothing need be done; the next \"pgx-dev up\" or \"pgx-dev runtime install\" removes it"})
		}
	}
	if dead := place.DeadRuns(); len(dead) > 0 {
		out = append(out, Finding{Hint, fmt.Sprintf("%d directories of sockets whose servers are gone, for instance %s", len(dead), dead[0]), "nothing need be done; a later \"pgx-dev up\" removes them"})
	}
	return out
}

// checkRuntimes looks for PostgreSQL's programs.
func checkRuntimes(ctx context.Context, env *Env) []Finding {
	cfg, err := env.Config()
	if err != nil {
		return nil // checkConfig has said so
	}
	found, err := env.runtimes(cfg, nil).Runtimes(ctx)
	if err != nil {
		return []Finding{{Broken, err.Error(), ""}}
	}
	var out, empty []Finding
	for _, dir := range native.New(cfg.Runtime).EmptyBindirs() {
		empty = append(empty, Finding{Warning, fmt.Sprintf("runtime.bindirs names %s, where no PostgreSQL server is", dir), "correct it, or take it out"})
	}
	for _, rt := range found {
		text := fmt.Sprintf("PostgreSQL %s in %s", rt.Version, rt.Bindir)
		if rt.Default {
			text += " (default)"
		}
		out = append(out, Finding{Fine, text, ""})
	}
	if len(out) > 0 {
		return append(out, empty...)
	}
	if cfg.Runtime.Auto && len(env.RuntimeVersions()) > 0 {
		return append(empty, Finding{Hint, "none is installed; the first \"pgx-dev up\" fetches one", "to do it now: pgx-dev runtime install " + env.RuntimeVersions()[0]})
	}
	cache, _ := place.Cache()
	return append(empty, Finding{
		Broken, "none is installed, and runtime.auto is off or has no package for this machine",
		"install PostgreSQL by the system's packages, or \"pgx-dev runtime install --from FILE\" (kept in " + cache + ")",
	})
}
