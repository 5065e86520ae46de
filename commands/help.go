package commands

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// helpOptions is the layout of "pgx-dev -h": commands first, then flags.
func helpOptions() kong.HelpOptions {
	return kong.HelpOptions{
		Compact:             true,
		NoExpandSubcommands: true,
		FlagsLast:           true,
		WrapUpperBound:      100,
		ValueFormatter:      kong.DefaultHelpValueFormatter,
	}
}

// helpFlag is --help. It prints the help of the command before it and ends the parsing.
type helpFlag bool

// BeforeReset runs before the arguments are checked, so that --help works on a command
// line that is not complete.
func (helpFlag) BeforeReset(ctx *kong.Context, env *Env) error {
	if err := printHelp(env, ctx); err != nil {
		return &ExitError{Code: ExitFailed, Err: err}
	}
	return errDone
}

// IgnoreDefault tells kong not to run the hook when the flag is not given.
func (helpFlag) IgnoreDefault() {}

// printHelp prints the help of the selected command; the program's own also lists plugins
// and topics.
func printHelp(env *Env, ctx *kong.Context) error {
	node := ctx.Selected()
	if node != nil && node.DefaultCmd != nil { // what the command does by itself comes first
		path := append(strings.Fields(node.FullPath())[1:], node.DefaultCmd.Name)
		byItself, err := kong.Trace(ctx.Kong, path)
		if err != nil {
			return err
		}
		ctx = byItself
	}
	if err := kong.DefaultHelpPrinter(helpOptions(), ctx); err != nil {
		return err
	}
	if node != nil {
		return printSubcommands(ctx, node)
	}
	var b strings.Builder
	if names := pluginNames(env); len(names) > 0 {
		b.WriteString("\nPlugins (pgx-dev-NAME on PATH):\n")
		for _, name := range names {
			fmt.Fprintf(&b, "  %s\n", name)
		}
	}
	b.WriteString("\nTopics, by \"pgx-dev help TOPIC\":\n")
	line := ""
	for i, name := range topicNames() {
		switch {
		case i == 0:
			line = "  " + name
		case len(line)+len(name)+len(", ,") > 80:
			b.WriteString(line + ",\n")
			line = "  " + name
		default:
			line += ", " + name
		}
	}
	b.WriteString(line + "\n\n")
	b.WriteString("Help on one command: \"pgx-dev COMMAND --help\".\n")
	_, err := fmt.Fprint(ctx.Stdout, b.String())
	return err
}

// printSubcommands lists what else a command with a default subcommand can do.
func printSubcommands(ctx *kong.Context, node *kong.Node) error {
	if node.DefaultCmd == nil {
		return nil
	}
	var b strings.Builder
	b.WriteString("\nSubcommands:\n")
	for _, child := range node.Children {
		if child != node.DefaultCmd && !child.Hidden {
			fmt.Fprintf(&b, "  %-8s  %s\n", child.Name, child.Help)
		}
	}
	_, err := fmt.Fprint(ctx.Stdout, b.String())
	return err
}
