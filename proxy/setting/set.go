// Package setting holds the parameters of sessions as immutable values that are compared at
// the cost of a pointer: what a client wants against what a server connection has.
package setting

import (
	"slices"
	"strings"
	"unique"
)

// A Param is a parameter and the text that SET would have for its value: a literal with its
// quotes, a list, a word.
type Param struct{ Name, Value string }

// A Set is a set of parameters, in order of their names. The zero Set is the empty one. A Set
// never changes, so it is safe for concurrent use.
type Set struct{ sealed *sealed }

// sealed are parameters and what is equal for equal ones. A pointer to them is all that a session
// keeps of each of its sets.
type sealed struct {
	id     unique.Handle[string]
	params []Param
}

// Of makes a set. Names count in lower case; of several the last one holds.
func Of(params ...Param) Set {
	var s Set
	for _, p := range params {
		s = s.With(p.Name, p.Value)
	}
	return s
}

// Len is the number of parameters.
func (s Set) Len() int { return len(s.All()) }

// All returns the parameters, which must not be changed.
func (s Set) All() []Param {
	if s.sealed == nil {
		return nil
	}
	return s.sealed.params
}

// ID returns what is equal for sets that hold the same.
func (s Set) ID() (id unique.Handle[string]) {
	if s.sealed == nil {
		return id
	}
	return s.sealed.id
}

// Same reports whether both sets hold the same, in constant time.
func (s Set) Same(t Set) bool { return s.sealed == t.sealed || s.ID() == t.ID() }

// Get returns the value of a parameter.
func (s Set) Get(name string) (string, bool) {
	if i, ok := s.find(strings.ToLower(name)); ok {
		return s.sealed.params[i].Value, true
	}
	return "", false
}

func (s Set) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.All(), name, func(p Param, name string) int { return strings.Compare(p.Name, name) })
}

// With returns the set with one parameter added or replaced.
func (s Set) With(name, value string) Set {
	name = strings.ToLower(name)
	i, ok := s.find(name)
	if ok && s.sealed.params[i].Value == value {
		return s
	}
	params := slices.Clone(s.All())
	if ok {
		params[i].Value = value
	} else {
		params = slices.Insert(params, i, Param{name, value})
	}
	return seal(params)
}

// Without returns the set with one parameter less.
func (s Set) Without(name string) Set {
	i, ok := s.find(strings.ToLower(name))
	if !ok {
		return s
	}
	return seal(slices.Delete(slices.Clone(s.All()), i, i+1))
}

// Over returns the set with what it lacks taken from below.
func (s Set) Over(below Set) Set {
	if s.Len() == 0 {
		return below
	}
	for _, p := range s.All() {
		below = below.With(p.Name, p.Value)
	}
	return below
}

// seal gives parameters their identity. Names and values hold no zero byte, since neither
// SQL text nor a startup packet can.
func seal(params []Param) Set {
	if len(params) == 0 {
		return Set{}
	}
	var b strings.Builder
	for _, p := range params {
		b.WriteString(p.Name)
		b.WriteByte(0)
		b.WriteString(p.Value)
		b.WriteByte(0)
	}
	return Set{&sealed{id: unique.Make(b.String()), params: slices.Clip(params)}}
}

// Quote writes a literal that means text, whatever standard_conforming_strings says.
func Quote(text string) string {
	if !strings.ContainsAny(text, `\'`) {
		return "'" + text + "'"
	}
	r := strings.NewReplacer(`\`, `\\`, `'`, `''`)
	if strings.Contains(text, `\`) {
		return "E'" + r.Replace(text) + "'"
	}
	return "'" + r.Replace(text) + "'"
}
