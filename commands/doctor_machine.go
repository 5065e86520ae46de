package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

func checkConfig(_ context.Context, env *Env) []Finding {
	cfg, err := env.config()
	switch {
	case errors.Is(err, config.ErrNoFile):
		return []Finding{{Broken, err.Error(), "name a file that exists, or unset " + config.EnvPath}}
	case err != nil:
		var out []Finding
		for line := range strings.SplitSeq(err.Error(), "\n") {
			out = append(out, Finding{Broken, line, ""})
		}
		out[len(out)-1].Fix = "correct it; \"pgx-dev config init -\" shows every key"
		return out
	case cfg.Path == "":
		return fine("no config file: the defaults are in effect")
	}
	return fine(cfg.Path)
}

func checkNPM(_ context.Context, env *Env) []Finding {
	npm, err := exec.LookPath("npm")
	if err == nil {
		return fine(npm)
	}
	fix := "install Node.js with npm, or hand a package over by \"pgx-dev runtime install --from FILE\""
	if runtime.GOOS == "linux" && exists("/usr/bin/apt-get") {
		fix = "apt-get install npm, or hand a package over by \"pgx-dev runtime install --from FILE\""
	}
	return []Finding{{Hint, "no npm: \"runtime install\" cannot fetch PostgreSQL", fix}}
}

// checkAccount asks whether PostgreSQL, which refuses to run as root, can be run.
func checkAccount(ctx context.Context, _ *Env) []Finding {
	if os.Getuid() != 0 {
		return fine(fmt.Sprintf("user %d: PostgreSQL runs as you", os.Getuid()))
	}
	err := tryNamespace(ctx)
	if err == nil {
		return fine("root: PostgreSQL runs in a user namespace of its own")
	}
	if runtime.GOOS != "linux" {
		return []Finding{{Warning, "root: PostgreSQL refuses to run as root", "run pgx-dev as an ordinary user"}}
	}
	return []Finding{{
		Warning, fmt.Sprintf("root, and user namespaces do not work here (%v): PostgreSQL runs as the data directory's owner, or as postgres or nobody", err),
		"allow them (sysctl user.max_user_namespaces, container option --security-opt seccomp=unconfined), or run pgx-dev as an ordinary user",
	}}
}

func checkSockets(_ context.Context, env *Env) []Finding {
	state, err := env.StateDir()
	if err != nil {
		return []Finding{{Broken, err.Error(), ""}}
	}
	// No cluster has this name, so that nobody else uses the directory that Run makes.
	run, err := place.Run(filepath.Join(state, ".doctor"))
	if err != nil {
		return []Finding{{Broken, err.Error(), "move it away, or set XDG_RUNTIME_DIR to a private directory"}}
	}
	if err := os.Remove(run); err != nil {
		return []Finding{{Warning, err.Error(), ""}}
	}
	if n := len(run); n > place.MaxSocketDir() {
		return []Finding{{
			Broken, fmt.Sprintf("%s has %d bytes; a socket's directory may have %d", run, n, place.MaxSocketDir()),
			"set XDG_RUNTIME_DIR to a shorter path",
		}}
	}
	return fine(fmt.Sprintf("%s (%d of %d bytes)", filepath.Dir(run), len(run), place.MaxSocketDir()))
}

func checkCache(_ context.Context, env *Env) []Finding {
	dir, err := place.Cache()
	if err != nil {
		return []Finding{{Warning, err.Error() + ": nothing can be fetched, and each new cluster takes an initdb", "set PGX_DEV_CACHE or HOME"}}
	}
	if f := checkWritable(dir, "set PGX_DEV_CACHE to a directory of yours"); f != nil {
		for i := range f {
			f[i].Status, f[i].Text = Warning, f[i].Text+": nothing can be fetched, and each new cluster takes an initdb"
		}
		return f
	}
	return space(dir, 200e6, "runtimes and prepared data directories need room; everything in it may be deleted")
}

func checkTemp(_ context.Context, _ *Env) []Finding {
	const need = 1 << 30
	dir, err := place.Temp(need)
	if err != nil {
		return []Finding{{Broken, err.Error(), "set PGX_DEV_TEMP to a directory of yours"}}
	}
	out := space(dir, 100e6, "set PGX_DEV_TEMP to a place with more room")
	for _, spare := range cluster.Spares() {
		what := "prepared"
		if spare.Running {
			what = "running"
		}
		out = append(out, Finding{Fine, fmt.Sprintf("a %s spare for the next \"up --temp\", made %s: %s", what, ago(spare.Since), spare.Dir), ""})
	}
	return out
}

func checkTerminal(_ context.Context, env *Env) []Finding {
	text := "stdout is no terminal: plain output"
	if env.UI.Out() {
		text = fmt.Sprintf("%s, %d columns", env.Getenv("TERM"), env.UI.Width())
	}
	return fine(text)
}

// checkWritable reports a directory in which, or in the nearest parent of which that
// exists, nothing can be made.
func checkWritable(dir, fix string) []Finding {
	d := dir
	for !exists(d) && d != filepath.Dir(d) {
		d = filepath.Dir(d)
	}
	fi, err := os.Stat(d)
	if err != nil {
		return []Finding{{Broken, err.Error(), fix}}
	}
	if !fi.IsDir() {
		return []Finding{{Broken, fmt.Sprintf("%s is a file where a directory should be", d), "move it away"}}
	}
	f, err := os.CreateTemp(d, ".pgx-dev-doctor-*")
	if err != nil {
		return []Finding{{Broken, fmt.Sprintf("%s: nothing can be written there: %v", d, errors.Unwrap(err)), fix}}
	}
	_ = f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return []Finding{{Broken, err.Error(), fix}}
	}
	return nil
}

// space reports how much room is left where dir is or will be.
func space(dir string, need int64, fix string) []Finding {
	d := dir
	for !exists(d) && d != filepath.Dir(d) {
		d = filepath.Dir(d)
	}
	free, err := place.Free(d)
	if err != nil {
		return []Finding{{Warning, err.Error(), ""}}
	}
	text := fmt.Sprintf("%s, %s free", dir, ui.Size(free))
	if free < need {
		return []Finding{{Warning, text, fix}}
	}
	return fine(text)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
