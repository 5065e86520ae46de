package commands

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/config"
)

// completeCmd answers the completion scripts: its arguments are the words of a command
// line so far, the last one perhaps empty or unfinished. It prints what else than the
// candidates fits (":none", ":file", ":dir", ":program"), then a candidate and its
// description, separated by a tab, on each line.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints the candidates. It never fails: a shell has nowhere to show it.
func (c *completeCmd) Run(env *Env, parser *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" && len(words) > 1 { // "pgx-dev -- NAME"
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	comp := &completer{env: env, node: parser.Model.Node, kind: "none"}
	comp.complete(words[:len(words)-1], words[len(words)-1])
	return comp.write(env.UI.Stdout())
}

// A completer finds the candidates for one word.
type completer struct {
	env  *Env
	node *kong.Node // the command that the words so far select
	args int        // its arguments so far
	used map[string]bool

	kind  string
	found []candidate
}

type candidate struct{ value, help string }

func (c *completer) add(prefix, value, help string) {
	if strings.HasPrefix(value, prefix) {
		c.found = append(c.found, candidate{value, help})
	}
}

func (c *completer) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, ":%s\n", c.kind)
	for _, f := range c.found {
		help, _, _ := strings.Cut(f.help, "\n")
		fmt.Fprintf(&b, "%s\t%s\n", f.value, help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// complete walks the words before the last as kong would, then collects what fits there.
func (c *completer) complete(before []string, word string) {
	c.used = map[string]bool{}
	var pending *kong.Flag // waits for its value
	noFlags := false       // after "--"
	for i, w := range before {
		switch {
		case pending != nil:
			c.note(pending, w)
			pending = nil
		case w == "--" && !noFlags:
			c.byItself("")
			if takesCommand(c.node) {
				c.program(before[i+1:])
				return
			}
			noFlags = true
		case noFlags:
			c.args++
		case strings.HasPrefix(w, "-") && w != "-":
			c.byItself(w)
			pending = c.flag(w)
		default:
			if !c.descend(w) {
				c.byItself("")
				c.args++
			}
		}
		if c.node == nil {
			c.program(before[i+1:])
			return
		}
		if c.passedThrough() {
			c.program(before[i:])
			return
		}
	}
	switch {
	case noFlags:
		c.commandsAndArguments(word)
	case pending != nil:
		c.value(pending.Value, "", word)
	case strings.HasPrefix(word, "--") && strings.Contains(word, "="):
		name, value, _ := strings.Cut(word, "=")
		if f := c.find(name); f != nil {
			c.value(f.Value, name+"=", value)
		}
	case strings.HasPrefix(word, "-"):
		c.byItself("")
		c.flags(word)
	default:
		c.commandsAndArguments(word)
	}
}

// descend selects a command by its name. A name at the top that is no command of ours is a
// plugin: then node becomes nil, since only the plugin knows what follows.
func (c *completer) descend(word string) bool {
	for _, child := range c.node.Children {
		if child.Name == word || slices.Contains(child.Aliases, word) {
			c.node, c.args = child, 0
			return true
		}
	}
	if c.node.Parent == nil {
		c.node = nil
		return true
	}
	return false
}

// byItself selects the default subcommand, if there is one, when a flag that the command
// itself does not know, or "", shows that it is meant.
func (c *completer) byItself(flag string) {
	name, _, _ := strings.Cut(flag, "=")
	if c.node.DefaultCmd != nil && (flag == "" || c.find(name) == nil) {
		c.node, c.args = c.node.DefaultCmd, 0
	}
}

// passedThrough reports whether the words from here on belong to another program.
func (c *completer) passedThrough() bool {
	if c.args == 0 || len(c.node.Positional) == 0 {
		return false
	}
	p := c.node.Positional[min(c.args, len(c.node.Positional))-1]
	return p.PassthroughMode != kong.PassThroughModeNone
}

// flag notes a flag and returns it if its value is the next word.
func (c *completer) flag(word string) *kong.Flag {
	name, value, hasValue := strings.Cut(word, "=")
	if !strings.HasPrefix(word, "--") {
		for i, r := range word[1:] { // -vc FILE, -cFILE
			f := c.find("-" + string(r))
			if f == nil {
				return nil
			}
			c.note(f, "")
			if takesValue(f) {
				if i+2 < len(word) {
					return nil
				}
				return f
			}
		}
		return nil
	}
	f := c.find(name)
	if f == nil {
		return nil
	}
	if hasValue || !takesValue(f) {
		c.note(f, value)
		return nil
	}
	return f
}

func takesValue(f *kong.Flag) bool { return !f.IsBool() && !f.IsCounter() }

// note remembers a flag, and obeys those that change what is completed.
func (c *completer) note(f *kong.Flag, value string) {
	c.used[f.Name] = true
	switch f.Name {
	case "config":
		c.env.globals.Config = value
	case "state-dir":
		c.env.globals.StateDir = value
	}
}

// find returns a flag of the command or of those above it.
func (c *completer) find(name string) *kong.Flag {
	for _, level := range c.node.AllFlags(false) {
		for _, f := range level {
			if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
				return f
			}
			for _, n := range append(negations(f), f.Aliases...) {
				if name == "--"+n {
					return f
				}
			}
		}
	}
	return nil
}

// negations returns the names that turn a flag off.
func negations(f *kong.Flag) []string {
	switch f.Tag.Negatable {
	case "":
		return nil
	case "_": // kong's mark for --no-NAME
		return []string{"no-" + f.Name}
	}
	return []string{f.Tag.Negatable}
}

func (c *completer) flags(word string) {
	for _, level := range c.node.AllFlags(true) {
		for _, f := range level {
			if f.Hidden || c.used[f.Name] && !f.IsCumulative() && !f.IsCounter() {
				continue
			}
			suffix := ""
			if takesValue(f) {
				suffix = "="
			}
			c.add(word, "--"+f.Name+suffix, f.Help)
			for _, n := range negations(f) {
				c.add(word, "--"+n, "Not: "+f.Help)
			}
		}
	}
}

func (c *completer) commandsAndArguments(word string) {
	for _, child := range c.node.Children {
		if !child.Hidden {
			c.add(word, child.Name, child.Help)
		}
	}
	if c.node.Parent == nil {
		for _, name := range pluginNames(c.env) {
			c.add(word, name, "plugin")
		}
	}
	if n := len(c.node.Positional); n > 0 {
		if i := c.args; i < n {
			c.value(c.node.Positional[i], "", word)
		} else if c.node.Positional[n-1].IsCumulative() {
			c.value(c.node.Positional[n-1], "", word)
		}
	}
}

// value collects values for a flag or an argument, by its enum, its "complete" tag or its
// type. prefix stands before each one: "--engine=".
func (c *completer) value(v *kong.Value, prefix, word string) {
	add := func(value, help string) { c.add(prefix+word, prefix+value, help) }
	if v.Enum != "" {
		for _, e := range v.EnumSlice() {
			if e != "" {
				add(e, "")
			}
		}
		return
	}
	switch v.Tag.Get("complete") {
	case "cluster":
		for _, name := range c.env.ClusterNames() {
			add(name, "cluster")
		}
	case "runtime":
		for _, version := range c.env.RuntimeVersions() {
			add(version, "PostgreSQL "+version)
		}
	case "installed":
		for _, version := range installedVersions(c.env) {
			add(version, "PostgreSQL "+version)
		}
	case "topic":
		for _, name := range topicNames() {
			text, _ := topic(name)
			add(name, title(text))
		}
		root := c.node
		for root.Parent != nil {
			root = root.Parent
		}
		for _, child := range root.Children {
			if !child.Hidden {
				add(child.Name, child.Help)
			}
		}
	case "key":
		for _, key := range config.Keys() {
			add(key, "")
		}
	case "option":
		key, _, hasValue := strings.Cut(word, "=")
		if hasValue {
			for _, v := range config.Values(key) {
				add(key+"="+v, "")
			}
			return
		}
		for _, key := range config.Keys() {
			add(key+"=", "")
		}
	case "file":
		c.kind = "file"
	case "dir":
		c.kind = "dir"
	case "program":
		c.kind = "program"
	default:
		switch v.Tag.Type {
		case "path", "existingfile":
			c.kind = "file"
		case "existingdir":
			c.kind = "dir"
		}
	}
}

// program completes another program's words, of which before stand already.
func (c *completer) program(before []string) {
	c.kind = "file"
	if len(before) == 0 && c.node != nil {
		c.kind = "program"
	}
}
