package pgserver

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A CopyStatement is a COPY command taken apart.
type CopyStatement struct {
	Table   string   // as written, with quotes and schema; "" when Query is set
	Columns []string // names; nil means all
	Query   string   // of COPY (query) TO
	From    bool     // FROM STDIN, else TO STDOUT
	Format  CopyFormat
}

// ParseCopy takes a COPY … FROM STDIN or TO STDOUT apart, in the syntax of now and of old. ok is
// false for another statement. Files and programs are an error: they are the server's.
func ParseCopy(sql string) (c CopyStatement, ok bool, err error) {
	l := &lexer{sql: sql}
	if !l.word().is("copy") {
		return c, false, nil
	}
	if err := c.target(l, sql); err != nil {
		return c, true, err
	}
	switch t := l.word(); {
	case t.is("from"):
		c.From = true
	case !t.is("to"):
		return c, true, syntaxError(sql)
	}
	if c.From && c.Query != "" {
		return c, true, syntaxError(sql)
	}
	if t := l.word(); c.From && !t.is("stdin") || !c.From && !t.is("stdout") {
		return c, true, wire.Errorf(wire.CodeFeatureNotSupported, "COPY works with STDIN and STDOUT only; use \\copy in psql for files")
	}
	if l.peek().is("with") {
		l.word()
	}
	if l.peek().text == "(" {
		l.word()
		err = c.options(l, sql)
	} else {
		err = c.oldOptions(l, sql)
	}
	if err == nil {
		err = c.Format.Check()
	}
	return c, true, err
}

// target reads the table with its columns, or the query in parentheses.
func (c *CopyStatement) target(l *lexer, sql string) error {
	if l.peek().text == "(" {
		l.word()
		start, depth := l.pos, 1
		for depth > 0 {
			switch t := l.word(); {
			case t.kind == tokEnd:
				return syntaxError(sql)
			case t.text == "(":
				depth++
			case t.text == ")":
				depth--
			}
		}
		c.Query = strings.TrimSpace(sql[start : l.pos-1])
		return nil
	}
	for {
		t := l.word()
		if _, ok := t.name(); !ok {
			return syntaxError(sql)
		}
		c.Table += t.text
		if l.peek().text != "." {
			break
		}
		c.Table += l.word().text
	}
	if l.peek().text != "(" {
		return nil
	}
	l.word()
	for {
		name, ok := l.word().name()
		if !ok {
			return syntaxError(sql)
		}
		c.Columns = append(c.Columns, name)
		switch t := l.word(); t.text {
		case ",":
		case ")":
			return nil
		default:
			return syntaxError(sql)
		}
	}
}

// options reads (name value, …).
func (c *CopyStatement) options(l *lexer, sql string) error {
	for {
		name, ok := l.word().name()
		if !ok {
			return syntaxError(sql)
		}
		value := ""
		if t := l.peek(); t.text != "," && t.text != ")" {
			if value, ok = l.word().string(); !ok {
				value = t.text
			}
		}
		if err := c.option(name, value); err != nil {
			return err
		}
		switch t := l.word(); t.text {
		case ",":
		case ")":
			if l.word().kind != tokEnd {
				return syntaxError(sql)
			}
			return nil
		default:
			return syntaxError(sql)
		}
	}
}

// oldOptions reads BINARY, CSV, HEADER, DELIMITER 'x' and so on, without parentheses.
func (c *CopyStatement) oldOptions(l *lexer, sql string) error {
	for {
		t := l.word()
		if t.kind == tokEnd {
			return nil
		}
		name, ok := t.name()
		if !ok {
			return syntaxError(sql)
		}
		value := ""
		switch name {
		case "binary", "csv":
			name, value = "format", name
		case "header":
		default:
			if l.peek().is("as") {
				l.word()
			}
			if value, ok = l.word().string(); !ok {
				return syntaxError(sql)
			}
		}
		if err := c.option(name, value); err != nil {
			return err
		}
	}
}

func (c *CopyStatement) option(name, value string) error {
	one := func(dst *byte) error {
		if len(value) != 1 {
			return wire.Errorf(wire.CodeFeatureNotSupported, "COPY %s must be a single one-byte character", name)
		}
		*dst = value[0]
		return nil
	}
	f := &c.Format
	switch name {
	case "format":
		kinds := map[string]CopyKind{"text": CopyText, "csv": CopyCSV, "binary": CopyBinary}
		kind, ok := kinds[strings.ToLower(value)]
		if !ok {
			return wire.Errorf(wire.CodeInvalidParameterValue, "COPY format %q not recognized", value)
		}
		f.Kind = kind
		return nil
	case "delimiter":
		return one(&f.Delimiter)
	case "quote":
		return one(&f.Quote)
	case "escape":
		return one(&f.Escape)
	case "null":
		f.Null = &value
		return nil
	case "header":
		b, ok := parseBool(value)
		if value != "" && !ok {
			return wire.Errorf(wire.CodeInvalidParameterValue, "header requires a Boolean value")
		}
		f.Header = value == "" || b
		return nil
	case "encoding":
		_, err := check("client_encoding", value)
		return err
	}
	return wire.Errorf(wire.CodeFeatureNotSupported, "COPY option %q is not supported here", name)
}
