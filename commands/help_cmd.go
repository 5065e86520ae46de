package commands

import (
	"errors"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/config/spell"
)

// helpCmd shows a topic, or a command's help; without an argument it lists the topics.
type helpCmd struct {
	Topic []string `arg:"" optional:"" complete:"topic" help:"A topic, or a command."`
}

// Run prints it.
func (c *helpCmd) Run(env *Env, parser *kong.Kong) error {
	if len(c.Topic) == 0 {
		env.UI.Printf("Topics, by \"pgx-dev help TOPIC\":\n")
		for _, name := range topicNames() {
			text, _ := topic(name)
			env.UI.Printf("  %-14s %s\n", name, title(text))
		}
		env.UI.Printf("\nHelp on a command: \"pgx-dev help COMMAND\" or \"pgx-dev COMMAND --help\".\n")
		return nil
	}
	if len(c.Topic) == 1 {
		if text, ok := topic(c.Topic[0]); ok {
			env.UI.Markdown(text)
			if findCommand(parser.Model.Node, c.Topic) != nil {
				env.UI.Printf("\nFlags and arguments: \"pgx-dev %s --help\".\n", c.Topic[0])
			}
			return nil
		}
		if path := findPlugin(env, c.Topic[0]); path != "" {
			return runPlugin(env, path, []string{"--help"})
		}
	}
	if findCommand(parser.Model.Node, c.Topic) != nil {
		// The same way as "COMMAND --help", in a parser of its own: this one has run.
		fresh, err := newParser(newCLI(), env)
		if err != nil {
			return err
		}
		if _, err := fresh.Parse(append(slices.Clone(c.Topic), "--help")); !errors.Is(err, errDone) {
			return err
		}
		return nil
	}
	known := topicNames()
	for _, child := range parser.Model.Children {
		if !child.Hidden {
			known = append(known, child.Name)
		}
	}
	name := strings.Join(c.Topic, " ")
	if near := spell.Nearest(name, known); near != "" {
		return usageError("no help on %q; did you mean %s?", name, near)
	}
	return usageError("no help on %q; \"pgx-dev help\" lists the topics", name)
}

// findCommand returns the command that path names, or nil.
func findCommand(node *kong.Node, path []string) *kong.Node {
	for _, name := range path {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool {
			return !n.Hidden && (n.Name == name || slices.Contains(n.Aliases, name))
		})
		if i < 0 {
			return nil
		}
		node = node.Children[i]
	}
	return node
}

// title returns the first heading of a Markdown page.
func title(text string) string {
	for line := range strings.Lines(text) {
		if t, ok := strings.CutPrefix(line, "# "); ok {
			return strings.TrimSpace(t)
		}
	}
	return ""
}
