package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// clusterCommands create, run, share and destroy clusters.
type clusterCommands struct {
	Up         upCmd         `cmd:"" group:"clusters" help:"Create and start a cluster, print its URL, serve until interrupted."`
	Down       downCmd       `cmd:"" group:"clusters" help:"Stop a cluster, whoever uses it."`
	Status     statusCmd     `cmd:"" group:"clusters" help:"Show what a cluster is at and who uses it; the exit code says whether it runs."`
	Ls         lsCmd         `cmd:"" group:"clusters" help:"List this project's clusters."`
	URL        urlCmd        `cmd:"" name:"url" group:"clusters" help:"Print a running cluster's URL."`
	Env        envCmd        `cmd:"" group:"clusters" help:"Print a running cluster's environment, for eval."`
	Psql       psqlCmd       `cmd:"" group:"clusters" help:"Open psql, or our own small shell where there is none."`
	Exec       execCmd       `cmd:"" group:"clusters" help:"Run a command with a cluster's environment."`
	Logs       logsCmd       `cmd:"" group:"clusters" help:"Show a cluster's server log."`
	Clone      cloneCmd      `cmd:"" group:"clusters" help:"Copy a cluster, running or not, to a new one."`
	Backup     backupCmd     `cmd:"" group:"clusters" help:"Take a base backup, and archive the log continuously from then on."`
	Restore    restoreCmd    `cmd:"" group:"clusters" help:"Make a cluster from a backup, up to any point in time."`
	Destroy    destroyCmd    `cmd:"" group:"clusters" help:"Stop a cluster and delete it with all its data."`
	ArchiveWAL archiveWALCmd `cmd:"" name:"archive-wal" hidden:"" help:"Archive one segment (run by the server)."`
	Supervise  superviseCmd  `cmd:"" hidden:"" help:"Own a running cluster (started by the others)."`
}

// A target names a cluster: by name in this project, or by its data directory.
type target struct {
	Name nameArg `arg:"" optional:"" complete:"cluster" help:"Which cluster (default: main)."`
	Dir  string  `placeholder:"DIR" type:"dir" complete:"dir" help:"A data directory anywhere, instead of a name ($$PGDATA)."`
}

// A nameArg is a cluster's name. An empty one is a mistake, for instance an unset variable,
// and must not mean the default.
type nameArg string

// Decode reads the argument.
func (n *nameArg) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("name", &text); err != nil {
		return err
	}
	if err := cluster.CheckName(text); err != nil {
		return err
	}
	*n = nameArg(text)
	return nil
}

// directoryText reads the name of a directory. An empty one is a mistake, for instance an
// unset variable, and must not mean the working directory or this project's clusters.
func directoryText(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("directory", &text); err != nil {
		return err
	}
	if text == "" {
		return errors.New("the name of the directory is empty")
	}
	target.SetString(text)
	return nil
}

// resolve returns the data directory and the name to speak of it.
func (t target) resolve(env *Env) (dir, name string, err error) {
	dir = t.Dir
	if dir != "" && t.Name != "" {
		return "", "", usageError("give a cluster's name or --dir, not both")
	}
	if dir == "" && t.Name == "" {
		dir = env.Getenv("PGDATA")
	}
	if dir != "" {
		dir, err = place.Resolve(dir)
		return dir, filepath.Base(dir), err
	}
	name = string(t.Name)
	if name == "" {
		name = cluster.DefaultName
	}
	if err := cluster.CheckName(name); err != nil {
		return "", "", &ExitError{ExitUsage, err}
	}
	project, err := project(env)
	if err != nil {
		return "", "", err
	}
	dir, err = cluster.Find(project, name)
	return dir, name, err
}

// inProject reports whether the target is a cluster of this project.
func (t target) inProject(env *Env) bool {
	return t.Dir == "" && (t.Name != "" || env.Getenv("PGDATA") == "")
}

// project returns the resolved state directory.
func project(env *Env) (string, error) {
	dir, err := env.StateDir()
	if err != nil {
		return "", err
	}
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return "", fmt.Errorf("%s is a file where the state directory should be; move it away, or choose another by --state-dir or $%s", dir, EnvState)
	}
	return place.Resolve(dir)
}

// manager returns the cluster manager, whose supervisors are this program.
func manager(env *Env) (*cluster.Manager, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own program: %w", err)
	}
	return &cluster.Manager{Command: []string{exe, "supervise"}, NewEngine: newEngine, Logger: env.Log}, nil
}

// engineConfigs returns every engine's configuration as its supervisor reads it.
func engineConfigs(f config.File) (map[string]json.RawMessage, error) {
	configs := map[string]json.RawMessage{}
	for name, c := range map[string]any{"native": f.Runtime, "wasm": f.Embed} {
		b, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		configs[name] = b
	}
	return configs, nil
}

// newEngine is where engines' names get their meaning.
func newEngine(name string, config json.RawMessage, log *slog.Logger) (engines.Engine, error) {
	switch name {
	case "native":
		var cfg native.Config
		if err := json.Unmarshal(config, &cfg); err != nil {
			return nil, fmt.Errorf("read the native engine's configuration: %w", err)
		}
		return native.New(cfg, native.WithLogger(log)), nil
	case "wasm":
		var cfg wasm.Config
		if err := json.Unmarshal(config, &cfg); err != nil {
			return nil, fmt.Errorf("read the wasm engine's configuration: %w", err)
		}
		cfg.Log = log
		return behindFront{wasm.New(cfg)}, nil
	}
	return nil, fmt.Errorf("there is no engine %q; there are native and wasm: %w", name, engines.ErrUnsupported)
}

// behindFront is an engine that is not to listen on TCP by itself: the supervisor does, and
// asks for a password.
type behindFront struct{ engines.Engine }

// Start starts a server without a TCP listener.
func (e behindFront) Start(ctx context.Context, spec engines.Spec) (engines.Server, error) {
	spec.TCP = ""
	return e.Engine.Start(ctx, spec)
}

// superviseCmd is what a cluster's supervisor runs.
type superviseCmd struct{}

func (superviseCmd) Run(ctx context.Context, env *Env) error {
	closeInherited()
	m, err := manager(env)
	if err != nil {
		return err
	}
	m.Logger = slog.New(slog.NewTextHandler(env.Stderr, nil))
	return m.Supervise(ctx, env.Stdin, env.Stdout)
}

// notThere explains an error that says that there is no cluster, or none that runs.
func notThere(err error, t target, name string) error {
	if !errors.Is(err, engines.ErrNotExist) {
		return err
	}
	return fmt.Errorf("there is no cluster %s here; \"pgx-dev up %s\" makes it, \"pgx-dev ls\" lists what is there (%w)", name, t.args(name), engines.ErrNotExist)
}

// args are the arguments that name the cluster again, for a hint.
func (t target) args(name string) string {
	if t.Dir != "" {
		return "--dir " + shellQuote(t.Dir)
	}
	return shellQuote(name)
}
