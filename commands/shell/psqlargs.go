package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

// SetArguments changes a configuration by command line arguments as psql takes them: the
// part of them that this shell understands. Any other is an error.
func (c *Config) SetArguments(args []string) error {
	p := psqlArgs{c: c, rest: args}
	named := c.Database
	for len(p.rest) > 0 {
		arg := p.rest[0]
		p.rest = p.rest[1:]
		var err error
		switch {
		case strings.HasPrefix(arg, "--") && arg != "--":
			err = p.long(arg)
		case strings.HasPrefix(arg, "-") && arg != "-" && arg != "--":
			err = p.short(arg[1:])
		case arg == "--":
		case c.Database == named && !isURL(arg):
			c.Database = arg
		default:
			err = p.unknown(arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isURL reports whether a database's name is a connection string, to another server.
func isURL(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://") || strings.Contains(name, "=")
}

// HistoryPath returns where a person's history is kept: in pgx-dev's directory under
// $XDG_STATE_HOME, or under .local/state in their home; "" when there is neither.
func HistoryPath(getenv func(string) string) string {
	dir := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "pgx-dev", "shell_history")
}

// psqlArgs is a command line under way.
type psqlArgs struct {
	c    *Config
	rest []string
}

func (p *psqlArgs) unknown(arg string) error {
	return fmt.Errorf("pgx-dev's own shell does not know the argument %s, though PostgreSQL's psql may; "+
		"it takes -c, -f, -d, -A, -t, -x, -q, -F, -P, -X, --csv and -v ON_ERROR_STOP=…", arg)
}

// long takes --name or --name=value.
func (p *psqlArgs) long(arg string) error {
	name, value, given := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
	letters := map[string]byte{
		"command": 'c', "file": 'f', "dbname": 'd', "no-align": 'A', "tuples-only": 't', "expanded": 'x', "quiet": 'q',
		"field-separator": 'F', "pset": 'P', "set": 'v', "variable": 'v', "no-psqlrc": 'X', "no-password": 'w',
	}
	if name == "csv" && !given {
		p.c.Rows.Format = rows.CSV
		return nil
	}
	letter, ok := letters[name]
	switch {
	case !ok || given && !takesValue(letter):
		return p.unknown(arg)
	case takesValue(letter) && !given:
		if len(p.rest) == 0 {
			return fmt.Errorf("%s wants a value", arg)
		}
		value, p.rest = p.rest[0], p.rest[1:]
	}
	return p.option(letter, value, arg)
}

// short takes letters; the first that wants a value has the rest of the argument, or the
// next one.
func (p *psqlArgs) short(letters string) error {
	for i := range len(letters) {
		letter := letters[i]
		value := ""
		if takesValue(letter) {
			value = letters[i+1:]
			if value == "" {
				if len(p.rest) == 0 {
					return fmt.Errorf("-%c wants a value", letter)
				}
				value, p.rest = p.rest[0], p.rest[1:]
			}
		}
		if err := p.option(letter, value, "-"+letters[i:i+1]); err != nil {
			return err
		}
		if takesValue(letter) {
			return nil
		}
	}
	return nil
}

func takesValue(letter byte) bool { return strings.IndexByte("cfdFPv", letter) >= 0 }

func (p *psqlArgs) option(letter byte, value, arg string) error {
	c := p.c
	switch letter {
	case 'c':
		if value == "" {
			value = " " // nothing to run is something else than no step
		}
		c.Steps = append(c.Steps, Step{Command: value})
	case 'f':
		if value == "" {
			return errors.New("-f wants the name of a file")
		}
		c.Steps = append(c.Steps, Step{File: value})
	case 'd':
		if isURL(value) {
			return errors.New("-d takes the name of a database of this cluster here, not a connection string")
		}
		c.Database = value
	case 'A':
		c.Rows.Format = rows.Unaligned
	case 't':
		c.Rows.TuplesOnly = true
	case 'x':
		c.Rows.Expanded = rows.On
	case 'q':
		c.Quiet = true
	case 'F':
		c.Rows.FieldSep = value
	case 'P':
		return p.apply(value, (*shell).pset)
	case 'v':
		return p.apply(value, (*shell).set)
	case 'X', 'w': // there is neither a start file nor a question for a password
	default:
		return p.unknown(arg)
	}
	return nil
}

// apply changes the configuration as \pset or \set would.
func (p *psqlArgs) apply(assignment string, f func(s *shell, name, value string) error) error {
	name, value, _ := strings.Cut(assignment, "=")
	var complaint bytes.Buffer
	s := &shell{
		Config: Config{Stderr: &complaint, Stdout: io.Discard}, out: io.Discard,
		rows: p.c.Rows, quiet: p.c.Quiet, keepGoing: p.c.KeepGoing,
	}
	if err := f(s, name, value); err != nil {
		return errors.New(strings.TrimSpace(complaint.String()))
	}
	p.c.Rows, p.c.Quiet, p.c.KeepGoing = s.rows, s.quiet, s.keepGoing
	return nil
}
