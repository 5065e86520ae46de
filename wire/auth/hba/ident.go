package hba

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// An identLine is one line of pg_ident.conf: map name, system user, role.
type identLine struct {
	mapName string
	system  token
	role    token
}

// Ident are the maps of a pg_ident.conf. The zero value and nil hold no map. They do not
// change after parsing and may be used by several goroutines at once.
type Ident struct {
	lines []identLine
}

// ParseIdentString reads maps from text that includes no other files.
func ParseIdentString(text string) (*Ident, error) {
	r := &reader{}
	return r.ident(r.lines("pg_ident.conf", text, 0))
}

// ParseIdent reads the maps of a file; see Parse for names of included files.
func ParseIdent(fsys fs.FS, name string) (*Ident, error) {
	r := &reader{fsys: fsys}
	return r.ident(r.read(name, nil, 0))
}

// LoadIdent reads the maps of a file of the operating system.
func LoadIdent(path string) (*Ident, error) {
	fsys, name, err := rooted(path)
	if err != nil {
		return nil, err
	}
	r := &reader{fsys: fsys, root: "/"}
	return r.ident(r.read(name, nil, 0))
}

func (r *reader) ident(lines []line) (*Ident, error) {
	out := &Ident{}
	for _, l := range lines {
		if len(l.fields) != 3 {
			r.errs = append(r.errs, l.errorf("a line has three fields: map name, system user, role"))
			continue
		}
		bad := false
		for i, what := range []string{"map name", "system user", "role"} {
			if len(l.fields[i]) != 1 {
				r.errs = append(r.errs, l.errorf("the %s must be one word", what))
				bad = true
			}
		}
		if bad {
			continue
		}
		if err := errors.Join(l.compile(l.fields[1]), l.compile(l.fields[2])); err != nil {
			r.errs = append(r.errs, err)
			continue
		}
		entry := identLine{mapName: l.fields[0][0].text, system: l.fields[1][0], role: l.fields[2][0]}
		if strings.Contains(entry.role.text, `\1`) && entry.system.re != nil && entry.system.re.NumSubexp() == 0 {
			r.errs = append(r.errs, l.errorf(`the role has \1, but regular expression %q has no subexpression`, entry.system.text[1:]))
			continue
		}
		out.lines = append(out.lines, entry)
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// Check reports whether a system user (an operating system user, a certificate's name, an
// OAuth identity) may be the role. Without a map name the two must be equal (check_usermap).
// The error says which for the log; the client is told nothing.
func (m *Ident) Check(mapName, systemUser, role string, env Env) error {
	if mapName == "" {
		if systemUser == role {
			return nil
		}
		return fmt.Errorf("provided user name (%s) and authenticated user name (%s) do not match", role, systemUser)
	}
	if m != nil {
		for _, l := range m.lines {
			if l.mapName == mapName && l.allows(systemUser, role, env) {
				return nil
			}
		}
	}
	return fmt.Errorf("no match in usermap %q for user %q authenticated as %q", mapName, role, systemUser)
}

// allows is check_ident_usermap.
func (l identLine) allows(systemUser, role string, env Env) bool {
	if l.system.re == nil {
		return l.system.text == systemUser && fitsRole(l.role, role, env)
	}
	found := l.system.re.FindStringSubmatch(systemUser)
	if found == nil {
		return false
	}
	want := l.role
	if want.re == nil && len(found) > 1 && strings.Contains(want.text, `\1`) {
		// What comes out of the pattern is a name, whatever it looks like.
		want.text = strings.Replace(want.text, `\1`, found[1], 1)
		want.quoted = true
	}
	return fitsRole(want, role, env)
}
