package commands

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// Env is what a command runs in.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer // results
	Stderr io.Writer // progress and logs; prefer UI and Log, which keep clear of each other
	UI     *ui.UI
	Log    *slog.Logger

	// Command is what stands behind "--", for commands that run another one; nil if there
	// is no "--".
	Command []string

	// ClusterNames lists this project's clusters. RuntimeVersions lists the versions of
	// PostgreSQL that can be asked for. Both are for completion: quick, and silent about
	// errors.
	ClusterNames    func() []string
	RuntimeVersions func() []string

	environ     map[string]string
	detached    bool   // this process was left in the background
	detachedLog string // where its stderr goes
	hangup      atomic.Pointer[chan struct{}]
	quits       atomic.Int32 // commands to which SIGQUIT is passed on

	globals Globals
	config  func() (*config.Config, error)
	level   slog.LevelVar
	closers []func()
}

func newEnv(stdin io.Reader, stdout, stderr io.Writer, environ []string) *Env {
	e := &Env{Stdin: stdin, Stdout: stdout, Stderr: stderr, environ: map[string]string{}}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			e.environ[name] = value
		}
	}
	e.takeDetached()
	e.ClusterNames = e.listClusters
	e.RuntimeVersions = runtimeVersions
	e.level.Set(slog.LevelWarn)
	e.UI = ui.New(stdin, stdout, stderr, ui.Options{Getenv: e.Getenv})
	e.Log = slog.New(e.UI.LogHandler(&e.level))
	e.config = sync.OnceValues(e.load)
	return e
}

// apply takes over the global flags.
func (e *Env) apply(g Globals) error {
	e.globals = g
	if g.NoColor {
		e.UI.Plain()
	}
	switch {
	case g.Verbose == 1:
		e.level.Set(slog.LevelInfo)
	case g.Verbose > 1:
		e.level.Set(slog.LevelDebug)
	}
	return nil
}

// close gives back what the command took through the Env.
func (e *Env) close() {
	for _, c := range e.closers {
		c()
	}
}

// Getenv returns an environment variable, or "".
func (e *Env) Getenv(name string) string { return e.environ[name] }

// LookupEnv returns an environment variable and whether it is set.
func (e *Env) LookupEnv(name string) (string, bool) {
	v, ok := e.environ[name]
	return v, ok
}

// forget takes variables out of the environment of this process and of its children.
func (e *Env) forget(names ...string) {
	for _, name := range names {
		delete(e.environ, name)
		_ = os.Unsetenv(name) // an error is one about the name
	}
}

// Environ returns the environment as [os.Environ] does, without the named variables and
// those with a named prefix that ends in "*".
func (e *Env) Environ(without ...string) []string {
	var out []string
	for name, value := range e.environ {
		if !matches(name, without) {
			out = append(out, name+"="+value)
		}
	}
	return out
}

func matches(name string, patterns []string) bool {
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(name, prefix) || name == p {
			return true
		}
	}
	return false
}

// Config returns the configuration; it is loaded once, when first asked for. A mistake in
// it is an error with ExitUsage, a file that is not there one with ExitNotExist.
func (e *Env) Config() (*config.Config, error) {
	c, err := e.config()
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, config.ErrNoFile):
		return nil, &ExitError{Code: ExitNotExist, Err: err}
	}
	return nil, &ExitError{Code: ExitUsage, Err: err}
}

func (e *Env) load() (*config.Config, error) {
	return config.Load(config.Options{
		Path:    e.globals.Config,
		Environ: e.LookupEnv,
		Names:   slices.Collect(maps.Keys(e.environ)),
		Set:     e.options(),
	})
}

// EnvOption is the environment variable that holds KEY=VALUE lines as -o takes them. It is
// how a pgx-dev hands its own on to the programs it runs.
const EnvOption = "PGX_DEV_OPTION"

// options returns what -o set, here or in the pgx-dev that started us; later ones win.
func (e *Env) options() []string {
	var set []string
	for line := range strings.Lines(e.Getenv(EnvOption)) {
		if line = strings.TrimSpace(line); line != "" {
			set = append(set, line)
		}
	}
	return append(set, e.globals.Option...)
}

// EnvState is the environment variable that names the state directory.
const EnvState = "PGX_DEV_STATE"

// StateDir returns the absolute path of the directory that holds this project's clusters:
// --state-dir, $PGX_DEV_STATE, .pgx-dev beside the project's config file, .pgx-dev in the
// working directory. It need not exist; MakeStateDir makes it.
func (e *Env) StateDir() (string, error) {
	for _, dir := range []string{e.globals.StateDir, e.Getenv(EnvState)} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	c, err := e.config()
	if c == nil || errors.Is(err, config.ErrNoFile) {
		_, err := e.Config()
		return "", err
	}
	if c.Path != "" && c.Project {
		return filepath.Abs(filepath.Join(filepath.Dir(c.Path), ".pgx-dev"))
	}
	return filepath.Abs(".pgx-dev")
}

// MakeStateDir returns the state directory after making it if it is missing: with mode
// 0700, and ignored by git.
func (e *Env) MakeStateDir() (string, error) {
	dir, err := e.StateDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return "", fmt.Errorf("make the state directory: %w; choose another place by --state-dir or $%s", err, EnvState)
	}
	if err := cluster.MakeProject(dir); err != nil {
		return "", fmt.Errorf("%w; choose another place by --state-dir or $%s", err, EnvState)
	}
	return dir, nil
}

// listClusters returns the names of this project's clusters.
func (e *Env) listClusters() []string {
	dir, err := project(e)
	if err != nil {
		return nil
	}
	names, err := cluster.Names(dir)
	if err != nil {
		return nil
	}
	return names
}
