package config

import "strings"

// lines says on which line each key of a TOML document stands, by the key as [joinKey]
// writes it; elements of an array of tables are "servers[1]". The TOML decoder does not
// tell for keys that are fine as TOML but unknown to us.
type lines map[string]int

// of returns the line of key, or of the nearest table around it, or 0.
func (l lines) of(key string) int {
	for key != "" {
		if n := l[key]; n > 0 {
			return n
		}
		i := max(strings.LastIndexByte(key, '.'), strings.LastIndexByte(key, '['))
		if i < 0 {
			return 0
		}
		key = key[:i]
	}
	return 0
}

// lineIndex scans a document that the TOML decoder has accepted, so that it need not check
// anything.
func lineIndex(src string) lines {
	s := &lineScanner{src: src, line: 1, out: lines{}, tables: map[string]int{}}
	for s.pos < len(s.src) {
		s.skipBlank()
		if s.pos >= len(s.src) {
			break
		}
		if s.src[s.pos] == '[' {
			s.header()
		} else {
			s.keyValue(s.table)
		}
	}
	return s.out
}

// maxKey bounds what is remembered of lists within lists within lists.
const maxKey = 512

type lineScanner struct {
	src       string
	pos, line int
	table     string         // the table we are in
	tables    map[string]int // arrays of tables: how many elements so far
	out       lines
}

// skipBlank skips white space, line ends and comments.
func (s *lineScanner) skipBlank() {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; c {
		case '\n':
			s.line++
			s.pos++
		case ' ', '\t', '\r', ',':
			s.pos++
		case '#':
			for s.pos < len(s.src) && s.src[s.pos] != '\n' {
				s.pos++
			}
		default:
			return
		}
	}
}

// header reads [a.b] or [[a.b]].
func (s *lineScanner) header() {
	s.pos++
	array := s.pos < len(s.src) && s.src[s.pos] == '['
	if array {
		s.pos++
	}
	key := s.qualify(s.key())
	for s.pos < len(s.src) && s.src[s.pos] == ']' {
		s.pos++
	}
	if array {
		n := s.tables[key]
		s.tables[key] = n + 1
		if n == 0 {
			s.note(key)
		}
		key += "[" + itoa(n) + "]"
	}
	s.note(key)
	s.table = key
}

// qualify puts the current element's index after each array of tables on the way.
func (s *lineScanner) qualify(path []string) string {
	key := ""
	for i, p := range path {
		if key != "" {
			key += "."
		}
		key += joinKey(p)
		if n := s.tables[key]; n > 0 && i < len(path)-1 {
			key += "[" + itoa(n-1) + "]"
		}
	}
	return key
}

// keyValue reads key = value, with its tables within.
func (s *lineScanner) keyValue(table string) {
	start := s.pos
	for _, p := range s.key() {
		if table != "" {
			table += "."
		}
		table += joinKey(p)
		s.note(table)
	}
	if s.pos < len(s.src) && s.src[s.pos] == '=' {
		s.pos++
	}
	s.value(table)
	if s.pos == start {
		s.pos++ // not TOML; never stand still
	}
}

func (s *lineScanner) note(key string) {
	if s.out[key] == 0 {
		s.out[key] = s.line
	}
}

// key reads a dotted key and the space after it.
func (s *lineScanner) key() []string {
	var path []string
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t' || c == '.':
			s.pos++
		case c == '"' || c == '\'':
			path = append(path, s.str())
		case isBare(s.src[s.pos : s.pos+1]):
			start := s.pos
			for s.pos < len(s.src) && isBare(s.src[s.pos:s.pos+1]) {
				s.pos++
			}
			path = append(path, s.src[start:s.pos])
		default:
			return path
		}
	}
	return path
}

// value skips a value, noting the keys of inline tables and the elements of arrays.
func (s *lineScanner) value(key string) {
	for s.pos < len(s.src) && (s.src[s.pos] == ' ' || s.src[s.pos] == '\t') {
		s.pos++
	}
	if s.pos >= len(s.src) {
		return
	}
	switch c := s.src[s.pos]; c {
	case '"', '\'':
		s.str()
	case '[', '{':
		closing := c + 2 // ']' and '}' in ASCII
		s.pos++
		for i := 0; ; i++ {
			s.skipBlank()
			if s.pos >= len(s.src) {
				return
			}
			if s.src[s.pos] == closing {
				s.pos++
				return
			}
			if c == '{' {
				s.keyValue(key)
				continue
			}
			elem := key
			if len(key) < maxKey {
				elem += "[" + itoa(i) + "]"
			}
			s.note(elem)
			start := s.pos
			if s.value(elem); s.pos == start {
				s.pos++
			}
		}
	default:
		for s.pos < len(s.src) && !strings.ContainsRune("\n,]}#", rune(s.src[s.pos])) {
			s.pos++
		}
	}
}

// str reads a string of any of the four kinds. Escapes are decoded only as far as keys
// need: \" and \\.
func (s *lineScanner) str() string {
	q := s.src[s.pos : s.pos+1]
	if strings.HasPrefix(s.src[s.pos:], strings.Repeat(q, 3)) {
		q = strings.Repeat(q, 3)
	}
	s.pos += len(q)
	var b strings.Builder
	for s.pos < len(s.src) {
		switch {
		case strings.HasPrefix(s.src[s.pos:], q):
			s.pos += len(q)
			for len(q) == 3 && s.pos < len(s.src) && s.src[s.pos] == q[0] { // """x""""
				s.pos++
			}
			return b.String()
		case s.src[s.pos] == '\\' && q[0] == '"' && s.pos+1 < len(s.src):
			if s.src[s.pos+1] == '\n' {
				s.line++
			}
			b.WriteByte(s.src[s.pos+1])
			s.pos += 2
		default:
			if s.src[s.pos] == '\n' {
				s.line++
			}
			b.WriteByte(s.src[s.pos])
			s.pos++
		}
	}
	return b.String()
}
