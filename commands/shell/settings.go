package shell

import (
	"fmt"

	"github.com/pgx-dev/pgx-dev/commands/shell/rows"
)

const expandedOn = rows.On

func (s *shell) connectionInfo() error {
	if s.conn == nil {
		s.say("You are currently not connected to a database.")
		return nil
	}
	_, err := fmt.Fprintf(s.out, "You are connected to database \"%s\" as user \"%s\" (PostgreSQL %s, server process %d).\n",
		s.database, s.user, s.conn.ParameterStatus("server_version"), s.conn.PID())
	return err
}

// expanded is \x.
func (s *shell) expanded(c *command) error {
	return s.one(c, s.setExpanded)
}

func (s *shell) setExpanded(arg string) error {
	switch {
	case arg == "" && s.rows.Expanded == rows.Off, arg == "on", arg == "1", arg == "true":
		s.rows.Expanded = rows.On
		s.say("Expanded display is on.")
	case arg == "", arg == "off", arg == "0", arg == "false":
		s.rows.Expanded = rows.Off
		s.say("Expanded display is off.")
	case arg == "auto":
		s.rows.Expanded = rows.Auto
		s.say("Expanded display is used automatically.")
	default:
		return s.complain("expanded display is on, off or auto, not %q", arg)
	}
	return nil
}

// unaligned is \a.
func (s *shell) unaligned() {
	if s.rows.Format == rows.Table {
		s.rows.Format = rows.Unaligned
	} else {
		s.rows.Format = rows.Table
	}
	s.sayFormat()
}

func (s *shell) sayFormat() {
	name := string(s.rows.Format)
	if s.rows.Format == rows.Table {
		name = "aligned"
	}
	s.say("Output format is %s.", name)
}

// pset is \pset NAME [VALUE].
func (s *shell) pset(name, value string) error {
	switch name {
	case "":
		return s.psetAll()
	case "format":
		if value == "" {
			s.sayFormat()
			return nil
		}
		f, err := rows.ParseFormat(value)
		if err != nil {
			return s.complain("\\pset: %v", err)
		}
		s.rows.Format = f
		s.sayFormat()
	case "null":
		s.rows.Null = value
		s.say("Null display is \"%s\".", value)
	case "fieldsep":
		s.rows.FieldSep = value
		s.say("Field separator is \"%s\".", value)
	case "x", "expanded":
		return s.setExpanded(value)
	case "t", "tuples_only":
		return s.psetBool(value, "Tuples only", &s.rows.TuplesOnly)
	case "footer":
		footer := !s.rows.NoFooter
		err := s.psetBool(value, "", &footer)
		s.rows.NoFooter = !footer
		return err
	case "pager": // there is none: off is as asked for
		if on, err := parseBool(value); err == nil && !on {
			return nil
		}
		return s.complain("this shell has no pager; PostgreSQL's psql does")
	default:
		return s.complain("\\pset %s is not an option of this shell: format, null, fieldsep, expanded, tuples_only and footer are", name)
	}
	return nil
}

// psetBool changes a switch and, where psql does, confirms it.
func (s *shell) psetBool(value, what string, v *bool) error {
	if value == "" {
		*v = !*v
	} else {
		on, err := parseBool(value)
		if err != nil {
			return s.complain("\\pset: %v", err)
		}
		*v = on
	}
	if what != "" {
		s.say("%s is %s.", what, onOff(*v))
	}
	return nil
}

func (s *shell) psetAll() error {
	expanded := map[rows.Expansion]string{rows.Off: "off", rows.On: "on", rows.Auto: "auto"}[s.rows.Expanded]
	sep := s.rows.FieldSep
	if sep == "" {
		sep = "|"
	}
	_, err := fmt.Fprintf(s.out, "expanded     %s\nfieldsep     '%s'\nfooter       %s\nformat       %s\nnull         '%s'\ntuples_only  %s\n",
		expanded, sep, onOff(!s.rows.NoFooter), s.rows.Format, s.rows.Null, onOff(s.rows.TuplesOnly))
	return err
}

// set is \set for the variables that mean something here.
func (s *shell) set(name, value string) error {
	on := func(v *bool, not bool) error {
		b, err := parseBool(value)
		if value == "" {
			b, err = true, nil
		}
		if err != nil {
			return s.complain("\\set %s: %v", name, err)
		}
		*v = b != not
		return nil
	}
	switch name {
	case "ON_ERROR_STOP":
		return on(&s.keepGoing, true)
	case "QUIET":
		return on(&s.quiet, false)
	}
	return s.complain("\\set knows only ON_ERROR_STOP and QUIET here; variables are a matter of PostgreSQL's psql")
}
