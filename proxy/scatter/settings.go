package scatter

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A Setting is a parameter that a session has set.
type Setting struct {
	// Name is the parameter's, in lower case.
	Name string
	// SQL is the statement that sets it, as the client wrote it.
	SQL string
}

// Settings are what a session has set, in the order in which it did. The zero value is that
// of a session which has set nothing. They never change once they are handed out.
type Settings struct {
	List []Setting
	// key is what tells different settings apart.
	key string
}

// Key is equal for equal settings, and empty for none.
func (s *Settings) Key() string {
	if s == nil {
		return ""
	}
	return s.key
}

// SQL returns the statements that give a connection without settings these, separated by
// semicolons.
func (s *Settings) SQL() string { return s.Key() }

// with returns s with a parameter set.
func (s *Settings) with(name, sql string) *Settings {
	out := s.without(name)
	out.List = append(out.List, Setting{Name: name, SQL: sql})
	return out.keyed()
}

// without returns s with a parameter taken back.
func (s *Settings) without(name string) *Settings {
	out := &Settings{}
	if s != nil {
		out.List = slices.Clone(s.List)
	}
	out.List = slices.DeleteFunc(out.List, func(x Setting) bool { return x.Name == name })
	return out.keyed()
}

func (s *Settings) keyed() *Settings {
	var b strings.Builder
	for i, x := range s.List {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(x.SQL)
	}
	s.key = b.String()
	return s
}

// NewSettings are settings in the given order.
func NewSettings(list []Setting) *Settings { return (&Settings{List: list}).keyed() }

// SearchPath reads a value of search_path, as the router wants it.
func SearchPath(value string) []string {
	w, err := scan(value)
	if err != nil {
		return nil
	}
	if len(w.toks) == 1 && w.toks[0].Kind == lex.String {
		if w, err = scan(w.value(0)); err != nil {
			return nil
		}
	}
	return searchPath(w, 0)
}
