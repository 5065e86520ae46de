package commands

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/config/spell"
)

// pluginPrefix starts the name of a program on PATH that is a command of pgx-dev.
const pluginPrefix = "pgx-dev-"

// pluginNames lists the plugins on PATH that can be run, sorted, without the prefix: one that
// is called like a command of ours cannot.
func pluginNames(env *Env) []string {
	var names []string
	for _, dir := range filepath.SplitList(env.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // as exec.LookPath: never run what lies in the working directory
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			name, ok := strings.CutPrefix(entry.Name(), pluginPrefix)
			if !ok || name == "" || slices.Contains(names, name) {
				continue
			}
			if fi, err := os.Stat(filepath.Join(dir, entry.Name())); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0 {
				names = append(names, name)
			}
		}
	}
	own := ownNames(env)
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(own, name) })
	slices.Sort(names)
	return names
}

// ownNames lists our own commands, hidden ones and aliases included.
func ownNames(env *Env) []string {
	parser, err := newParser(newCLI(), env)
	if err != nil {
		return nil // a bug that any test finds
	}
	var names []string
	for _, child := range parser.Model.Children {
		names = append(append(names, child.Name), child.Aliases...)
	}
	return names
}

// findPlugin returns the program of a plugin, or "".
func findPlugin(env *Env, name string) string {
	if name == "" || strings.ContainsRune(name, '/') || strings.HasPrefix(name, "-") {
		return ""
	}
	for _, dir := range filepath.SplitList(env.Getenv("PATH")) {
		path := filepath.Join(dir, pluginPrefix+name)
		if fi, err := os.Stat(path); filepath.IsAbs(dir) && err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// onParseError turns kong's error into ours. An unknown command at the top is a plugin, if
// there is one of that name, and otherwise probably a slip of the pen.
func onParseError(env *Env, parser *kong.Kong, err error) error {
	if exit, ok := errors.AsType[*ExitError](err); ok { // of a flag that acts, as --help
		return exit
	}
	var parse *kong.ParseError
	if !errors.As(err, &parse) || parse.Context == nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	rest := parse.Context.Path[len(parse.Context.Path)-1].Remainder()
	if len(rest) > 0 && rest[0] == "--" { // "pgx-dev -- NAME" is "pgx-dev NAME"
		rest = rest[1:]
	}
	if parse.Context.Selected() != nil || len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
		return &ExitError{Code: ExitUsage, Err: explain(parse)}
	}
	name := rest[0]
	for _, child := range parser.Model.Children {
		if child.Name == name || slices.Contains(child.Aliases, name) {
			return &ExitError{Code: ExitUsage, Err: explain(parse)}
		}
	}
	if path := findPlugin(env, name); path != "" {
		if err := env.apply(globalsOf(parse.Context)); err != nil {
			return err
		}
		return runPlugin(env, path, rest[1:])
	}
	return unknownCommand(parser.Model.Node, pluginNames(env), name)
}

// explain words a parse error and says where to read on.
func explain(parse *kong.ParseError) error {
	node := parse.Context.Selected()
	if node == nil {
		return fmt.Errorf("%w; see \"pgx-dev --help\"", parse)
	}
	if len(node.Children) > 0 { // a group of commands: "config shwo"
		rest := parse.Context.Path[len(parse.Context.Path)-1].Remainder()
		if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			var unknown *ExitError
			if err := unknownCommand(node, nil, rest[0]); errors.As(err, &unknown) {
				return unknown.Err
			}
		}
	}
	return fmt.Errorf("%w; see \"pgx-dev %s --help\"", parse, node.Path())
}

func unknownCommand(node *kong.Node, more []string, name string) error {
	known := slices.Clone(more)
	for _, child := range node.Children {
		if !child.Hidden {
			known = append(append(known, child.Name), child.Aliases...)
		}
	}
	prefix := ""
	if node.Parent != nil {
		prefix = node.Path() + " "
	}
	if near := spell.Nearest(name, known); near != "" {
		return usageError("unknown command %q; did you mean \"pgx-dev %s%s\"?", prefix+name, prefix, near)
	}
	return usageError("unknown command %q; \"pgx-dev %s--help\" lists them all", prefix+name, prefix)
}

// globalsOf reads the global flags from a command line that did not parse, into which kong
// has put nothing yet.
func globalsOf(ctx *kong.Context) Globals {
	var g Globals
	for _, flag := range ctx.Flags() {
		switch v := ctx.FlagValue(flag).(type) {
		case string:
			switch flag.Name {
			case "config":
				g.Config = v
			case "state-dir":
				g.StateDir = v
			}
		case []string:
			if flag.Name == "option" {
				g.Option = v
			}
		case int:
			if flag.Name == "verbose" {
				g.Verbose = v
			}
		case bool:
			if flag.Name == "no-color" {
				g.NoColor = v
			}
		}
	}
	return g
}

// runPlugin becomes the plugin. It finds the config file, the state directory and this
// program in PGX_DEV_CONFIG, PGX_DEV_STATE and PGX_DEV_BIN, and what -o set in PGX_DEV_OPTION,
// so that pgx-dev run by it sees the same configuration.
func runPlugin(env *Env, path string, args []string) error {
	cfg, err := env.Config()
	if err != nil {
		return err
	}
	state, err := env.StateDir()
	if err != nil {
		return err
	}
	bin, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	vars := env.Environ(config.EnvPath, EnvState, "PGX_DEV_BIN", EnvOption)
	vars = append(vars, config.EnvPath+"="+absolute(cfg.Path), EnvState+"="+state, "PGX_DEV_BIN="+bin)
	if set := env.options(); len(set) > 0 {
		vars = append(vars, EnvOption+"="+strings.Join(set, "\n"))
	}
	argv := append([]string{path}, args...)
	if env.Stdin == os.Stdin && env.Stdout == os.Stdout && env.Stderr == os.Stderr {
		return notStarted(path, fmt.Errorf("run %s: %w", path, syscall.Exec(path, argv, vars)))
	}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = vars, env.Stdin, env.Stdout, env.Stderr
	if err := cmd.Start(); err != nil {
		return notStarted(path, err)
	}
	return ChildError(cmd.Wait())
}

func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
