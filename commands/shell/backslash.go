package shell

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/script"
)

// A command is one backslash command with what it works on.
type command struct {
	name   string
	args   *args
	in     *input
	buffer string // the statement before it that has not been sent
}

// backslash runs the command at the beginning of text, which is the rest of its line.
// before is the statement that has been entered and not sent; keep is what is left of it,
// and used is how much of text the command took.
func (s *shell) backslash(ctx context.Context, in *input, before, text string) (keep string, used int, err error) {
	name := commandName(text)
	c := command{name: name, args: &args{text: text, pos: 1 + len(name)}, in: in, buffer: before}
	keep, err = s.dispatch(ctx, &c)
	if err != nil {
		return keep, len(text), err
	}
	for {
		extra, ok, err := c.args.next()
		if err != nil || !ok {
			return keep, c.args.end(), nil //nolint:nilerr // what is ignored may be wrong
		}
		fmt.Fprintf(s.Stderr, "\\%s: extra argument \"%s\" ignored\n", name, extra)
	}
}

// commandName returns the name behind the backslash: letters and what psql's own names
// have besides, or one other character.
func commandName(text string) string {
	i := 1
	for i < len(text) && (text[i] >= 'a' && text[i] <= 'z' || text[i] >= 'A' && text[i] <= 'Z' || i > 1 && (text[i] == '+' || text[i] == '_')) {
		i++
	}
	if i == 1 && i < len(text) && text[i] != ' ' && text[i] != '\t' {
		i++
	}
	return text[1:i]
}

// dispatch finds the command. The result is the statement that is still to be sent.
func (s *shell) dispatch(ctx context.Context, c *command) (keep string, err error) {
	switch c.name {
	case "g", "gx":
		return "", s.send(ctx, c)
	case "r", "reset":
		if !s.quiet {
			fmt.Fprintln(s.out, "Query buffer reset (cleared).")
		}
		return "", nil
	case "p", "print":
		s.printBuffer(c)
	case "e", "edit":
		return s.edit(ctx, c)
	case "q", "quit":
		err = errQuit
	case "?", "help":
		_, err = fmt.Fprint(s.out, help)
	case "c", "connect":
		err = s.two(c, func(database, user string) error { return s.switchTo(ctx, database, user) })
	case "conninfo":
		err = s.connectionInfo()
	case "timing":
		err = s.toggle(c, "Timing", &s.timing)
	case "x":
		err = s.expanded(c)
	case "a":
		s.unaligned()
	case "t":
		err = s.toggle(c, "Tuples only", &s.rows.TuplesOnly)
	case "pset":
		err = s.two(c, s.pset)
	case "i", "include", "ir", "include_relative":
		err = s.include(ctx, c)
	case "o", "out":
		err = s.redirect(c)
	case "copy":
		err = s.copyCommand(ctx, c)
	case "echo", "qecho", "warn":
		err = s.echo(c)
	case "set":
		err = s.two(c, s.set)
	case "!":
		err = s.run(ctx, c.args.rest())
	case "\\": // what follows is SQL again
	case ".", "restrict", "unrestrict": // as pg_dump writes them
		c.args.rest()
	default:
		if strings.HasPrefix(c.name, "d") || c.name == "l" || c.name == "l+" || c.name == "list" {
			return c.buffer, s.describe(ctx, c)
		}
		return c.buffer, s.unknown(c.name)
	}
	return c.buffer, err
}

func (s *shell) unknown(name string) error {
	return s.complain("\\%s is not a command of this shell (\\? lists them); PostgreSQL's psql may know it", name)
}

// two takes at most two arguments.
func (s *shell) two(c *command, f func(a, b string) error) error {
	words, err := c.args.words(2)
	if err != nil {
		return s.complain("\\%s: %v", c.name, err)
	}
	words = append(words, "", "")
	return f(words[0], words[1])
}

// one takes at most one argument.
func (s *shell) one(c *command, f func(string) error) error {
	return s.two(c, func(a, b string) error {
		if b != "" {
			return s.complain("\\%s takes one argument", c.name)
		}
		return f(a)
	})
}

// toggle switches something on, off, or over.
func (s *shell) toggle(c *command, what string, value *bool) error {
	return s.one(c, func(arg string) error {
		switch arg {
		case "":
			*value = !*value
		default:
			on, err := parseBool(arg)
			if err != nil {
				return s.complain("\\%s: %v", c.name, err)
			}
			*value = on
		}
		s.say("%s is %s.", what, onOff(*value))
		return nil
	})
}

// say confirms a change of settings.
func (s *shell) say(format string, a ...any) {
	if !s.quiet {
		fmt.Fprintf(s.out, format+"\n", a...)
	}
}

func onOff(v bool) string {
	if v {
		return "on"
	}
	return "off"
}

func parseBool(arg string) (bool, error) {
	switch strings.ToLower(arg) {
	case "on", "true", "yes", "1":
		return true, nil
	case "off", "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither on nor off", arg)
}

// send is \g and \gx: the statement before it, or the one before that, with another output
// or expanded.
func (s *shell) send(ctx context.Context, c *command) error {
	return s.one(c, func(path string) error {
		sql := c.buffer[leading(c.buffer):]
		if script.Blank(sql) {
			sql = s.last
		}
		if sql == "" {
			return nil
		}
		s.last = sql
		q := s.query(sql)
		q.copyIn = c.in.data()
		if c.name == "gx" {
			q.rows.Expanded = expandedOn
		}
		if path == "" {
			return s.exec(ctx, q)
		}
		out, err := s.create(path)
		if err != nil {
			return err
		}
		q.out, q.copyOut, q.apart = out, out, true
		return s.closing(out, s.exec(ctx, q))
	})
}

func (s *shell) printBuffer(c *command) {
	text := c.buffer[leading(c.buffer):]
	if script.Blank(text) {
		text = s.last
	}
	if text == "" {
		s.say("Query buffer is empty.")
		return
	}
	fmt.Fprintln(s.out, strings.TrimRight(text, "\n"))
}
