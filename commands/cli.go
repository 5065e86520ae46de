package commands

import (
	"errors"

	"github.com/alecthomas/kong"
)

// CLI is the whole command line on one page. Each subsystem brings its commands as one
// struct in Plugins, so that a fork adds its own by one line.
type CLI struct {
	Globals
	kong.Plugins
}

func newCLI() *CLI {
	return &CLI{Plugins: kong.Plugins{
		&clusterCommands{},
		&embedCommands{},
		&runtimeCommands{},
		&leaseCommands{},
		&proxyCommands{},
		&wireCommands{},
		&houseCommands{},
	}}
}

// Globals are the flags that every command takes.
type Globals struct {
	Config   string      `group:"globals" placeholder:"FILE" complete:"file" help:"Read this config file instead of looking for pgx-dev.toml ($$PGX_DEV_CONFIG)."`
	Option   []string    `group:"globals" short:"o" sep:"none" placeholder:"KEY=VALUE" complete:"option" help:"Set one key of the config file for this run, as runtime.auto=false."`
	StateDir string      `group:"globals" placeholder:"DIR" type:"dir" complete:"dir" help:"Where this project's clusters live ($$PGX_DEV_STATE; default: .pgx-dev beside the config file)."`
	Verbose  int         `group:"globals" short:"v" type:"counter" help:"Log more to stderr; twice for everything."`
	NoColor  bool        `group:"globals" help:"Plain output ($$NO_COLOR)."`
	Help     helpFlag    `group:"globals" short:"h" help:"Show help for a command."`
	Version  versionFlag `group:"globals" help:"Show the version."`
}

// runtimeCommands manage the PostgreSQL programs on this machine.
type runtimeCommands struct {
	Runtime struct {
		Ls      runtimeLsCmd      `cmd:"" aliases:"list" help:"List every PostgreSQL that is installed."`
		Install runtimeInstallCmd `cmd:"" help:"Fetch a PostgreSQL into our own store."`
		Rm      runtimeRmCmd      `cmd:"" aliases:"remove" help:"Remove a PostgreSQL from our own store."`
	} `cmd:"" group:"clusters" help:"Find, fetch and remove PostgreSQL programs."`
}

// houseCommands are about pgx-dev itself.
type houseCommands struct {
	Config struct {
		Init  configInitCmd  `cmd:"" help:"Write a sample config file, every key with its default."`
		Show  configShowCmd  `cmd:"" help:"Show every value in effect and where it comes from."`
		Check configCheckCmd `cmd:"" help:"Check the config file and the environment; name every mistake."`
		Path  configPathCmd  `cmd:"" help:"Print the path of the config file in use."`
	} `cmd:"" group:"house" help:"Write, show and check the configuration."`
	Doctor     doctorCmd     `cmd:"" group:"house" help:"Check what is installed, what is missing and how to get it."`
	Help       helpCmd       `cmd:"" group:"house" help:"Show help on a topic or a command."`
	Completion completionCmd `cmd:"" group:"house" help:"Print the completion script of a shell."`
	Version    versionCmd    `cmd:"" group:"house" help:"Show the version and how it was built."`
	Complete   completeCmd   `cmd:"" name:"__complete" group:"house" hidden:"" passthrough:""`
}

func groups() []kong.Group {
	return []kong.Group{
		{Key: "clusters", Title: "Clusters and runtimes:"},
		{Key: "leases", Title: "Test databases:"},
		{Key: "proxy", Title: "The proxy:"},
		{Key: "wire", Title: "The protocol:"},
		{Key: "house", Title: "pgx-dev itself:"},
		{Key: "globals", Title: "Flags of every command:"},
	}
}

// errDone ends the parsing of a command line that needs no command: --help, --version.
var errDone = errors.New("done")

func newParser(cli *CLI, env *Env) (*kong.Kong, error) {
	parser, err := kong.New(
		cli,
		kong.Name("pgx-dev"),
		kong.Description("Every PostgreSQL a developer needs, in one program."),
		kong.ExplicitGroups(groups()),
		kong.NoDefaultHelp(),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Bind(env),
		kong.NamedMapper("dir", kong.MapperFunc(directoryText)),
		kong.Exit(func(int) {}), // only main ends the process
	)
	if err != nil {
		return nil, err
	}
	// A hidden command outside every group would give the help an empty one.
	for _, node := range parser.Model.Children {
		if node.Hidden && node.Group == nil {
			node.Group = &groups()[0]
		}
	}
	return parser, nil
}
