package conf

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A PgBouncerSource gives [ParsePgBouncer] what it needs of the world.
type PgBouncerSource struct {
	// Read returns a file; names are relative to the working directory.
	Read func(name string) ([]byte, error)
	// Nearest returns the candidate that somebody who wrote word probably meant, or "".
	Nearest func(word string, candidates []string) string
}

// ParsePgBouncer reads a PgBouncer configuration: the ini file, what it includes, and the
// users of its auth_file. Options that are not set have PgBouncer's defaults. Options
// without a counterpart are named in one warning each. files are those that were read. The
// error joins every mistake; each begins with FILE:LINE.
func ParsePgBouncer(path string, src PgBouncerSource) (c Config, files []string, warnings []Warning, err error) {
	p := &bouncerParser{src: src, dir: filepath.Dir(path), warned: map[string]bool{}, secrets: map[string]string{}}
	p.c = pgBouncerDefaults()
	p.file(path)
	p.finish()
	if err := errors.Join(p.errs...); err != nil {
		return Config{}, p.files, p.warnings, err
	}
	return p.c, p.files, p.warnings, nil
}

const (
	maxInclude = 10  // MAX_INCLUDE in PgBouncer's config parser: how deep they nest
	maxFiles   = 100 // in all
)

type bouncerParser struct {
	src      PgBouncerSource
	dir      string // of the main file
	c        Config
	files    []string
	errs     []error
	warnings []Warning
	warned   map[string]bool
	open     []string // the files that are being read, each included by the one before

	name    string // of the file being read
	line    int
	section string

	databases []iniEntry
	users     []iniEntry
	secrets   map[string]string // of auth_file
	order     []string          // its users
	authFile  iniEntry
	serverTLS string
	clientTLS string
	clientCA  string
}

// An iniEntry is a line that is worked out when everything else is known.
type iniEntry struct {
	key, value, file string
	line             int
}

func (p *bouncerParser) errorf(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %w", p.name, p.line, fmt.Errorf(format, args...)))
}

// warn says something once for each key.
func (p *bouncerParser) warn(key, format string, args ...any) {
	if p.warned[key] {
		return
	}
	p.warned[key] = true
	p.warnings = append(p.warnings, Warning{Key: fmt.Sprintf("%s:%d: %s", p.name, p.line, key), Msg: fmt.Sprintf(format, args...)})
}

// read reads a file that another one names: relative to the working directory, as PgBouncer
// does, else to the main file's.
func (p *bouncerParser) read(name string) ([]byte, string, error) {
	b, err := p.src.Read(name)
	if err != nil && !filepath.IsAbs(name) && p.dir != "." {
		beside := filepath.Join(p.dir, name)
		if b, berr := p.src.Read(beside); berr == nil {
			p.files = append(p.files, beside)
			return b, beside, nil
		}
	}
	if err == nil {
		p.files = append(p.files, name)
	}
	return b, name, err
}

func (p *bouncerParser) file(path string) {
	if len(p.open) > maxInclude || len(p.files) >= maxFiles {
		p.errorf("%%include: more than %d files deep, or %d in all", maxInclude, maxFiles)
		return
	}
	b, path, err := p.read(path)
	if err == nil && slices.Contains(p.open, path) {
		p.errorf("%%include: %s is being read already", path)
		return
	}
	p.open = append(p.open, path)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	if err != nil {
		if len(p.open) == 1 {
			p.errs = append(p.errs, fmt.Errorf("read the PgBouncer configuration: %w", err))
		} else {
			p.errorf("%%include: %w", err)
		}
		return
	}
	name, line := p.name, p.line
	defer func() { p.name, p.line = name, line }()
	p.name, p.line = path, 0
	for text := range strings.Lines(string(b)) {
		p.line++
		text = strings.TrimSpace(text)
		switch {
		case text == "" || text[0] == ';' || text[0] == '#':
		case strings.HasPrefix(text, "%include"):
			p.file(strings.TrimSpace(strings.TrimPrefix(text, "%include")))
		case text[0] == '[':
			p.header(text)
		default:
			p.pair(text)
		}
	}
}

func (p *bouncerParser) header(text string) {
	name, rest, ok := strings.Cut(text[1:], "]")
	if !ok || strings.TrimSpace(rest) != "" {
		p.errorf("want [SECTION], have %s", text)
		return
	}
	p.section = strings.ToLower(strings.TrimSpace(name))
	switch p.section {
	case "databases", "users", "pgbouncer", "peers":
	default:
		p.errorf("unknown section [%s]; there are databases, users, pgbouncer, peers", p.section)
	}
}

func (p *bouncerParser) pair(text string) {
	key, value, ok := p.key(text)
	if !ok {
		p.errorf("want KEY = VALUE")
		return
	}
	e := iniEntry{key: key, value: value, file: p.name, line: p.line}
	switch p.section {
	case "databases":
		p.databases = append(p.databases, e)
	case "users":
		p.users = append(p.users, e)
	case "peers":
		p.peer(e)
	case "pgbouncer":
		p.option(e)
	case "":
		p.errorf("%s stands before the first section", key)
	}
}

// key takes a line apart. A database's name may be in double quotes, doubled within.
func (p *bouncerParser) key(text string) (key, value string, ok bool) {
	if text[0] == '"' {
		name, rest, ok := quoted(text, '"')
		if !ok {
			return "", "", false
		}
		rest = strings.TrimSpace(rest)
		value, ok = strings.CutPrefix(rest, "=")
		return name, strings.TrimSpace(value), ok
	}
	key, value, ok = strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	return key, strings.TrimSpace(value), ok && key != ""
}

// quoted takes a string in quotes, doubled within, from the front of text.
func quoted(text string, q byte) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != q {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == q {
			b.WriteByte(q)
			i++
			continue
		}
		return b.String(), text[i+1:], true
	}
	return "", "", false
}

// connection takes the words of a connection string apart: key=value, values perhaps in
// single quotes.
func (p *bouncerParser) connection(text string, each func(key, value string)) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, ok := strings.Cut(text, "=")
		key, rest = strings.TrimSpace(key), strings.TrimLeft(rest, " \t")
		if !ok || key == "" || strings.ContainsAny(key, " \t'") {
			p.errorf("want words of the form key=value")
			return
		}
		var value string
		if strings.HasPrefix(rest, "'") {
			if value, rest, ok = quoted(rest, '\''); !ok {
				p.errorf("%s: the quote is not closed", key)
				return
			}
		} else if i := strings.IndexAny(rest, " \t"); i >= 0 {
			value, rest = rest[:i], rest[i:]
		} else {
			value, rest = rest, ""
		}
		each(key, value)
		text = rest
	}
}

// ReadUserlist reads a file of lines "user" "password or verifier": users of every database.
// The error joins every mistake; each begins with FILE:LINE, and none shows a secret.
func ReadUserlist(path string, read func(name string) ([]byte, error)) ([]User, error) {
	p := &bouncerParser{src: PgBouncerSource{Read: read}, dir: ".", secrets: map[string]string{}, name: path}
	p.userlist(iniEntry{value: path, file: path})
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	out := make([]User, 0, len(p.order))
	for _, name := range p.order {
		out = append(out, userOf(name, p.secrets[name]))
	}
	return out, nil
}

// userlist reads the auth_file: lines of "user" "secret".
func (p *bouncerParser) userlist(e iniEntry) {
	p.name, p.line = e.file, e.line
	b, path, err := p.read(e.value)
	if err != nil {
		p.errorf("auth_file: %w", err)
		return
	}
	p.name, p.line = path, 0
	for text := range strings.Lines(string(b)) {
		p.line++
		text = strings.TrimSpace(text)
		if text == "" || text[0] == ';' || text[0] == '#' {
			continue
		}
		user, secret, ok := userlistLine(text)
		if !ok {
			p.errorf(`want "USER" "SECRET"`) // never the line, which may hold a password
			continue
		}
		if _, ok := p.secrets[user]; ok {
			p.errorf("user %q is there already", user)
			continue
		}
		p.secrets[user] = secret
		p.order = append(p.order, user)
	}
}

func userlistLine(text string) (user, secret string, ok bool) {
	if text[0] != '"' {
		return "", "", false
	}
	user, rest, ok := quoted(text, '"')
	rest = strings.TrimSpace(rest)
	if !ok || user == "" || rest == "" || rest[0] != '"' {
		return "", "", false
	}
	secret, rest, ok = quoted(rest, '"')
	return user, secret, ok && strings.TrimSpace(rest) == ""
}
