package hba

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A token is one word of a file. A quoted word has no special meaning: "all" is a name.
type token struct {
	text   string
	quoted bool
	re     *regexp.Regexp // of a word that begins with a slash, where words may be patterns
}

func (t token) keyword(word string) bool { return !t.quoted && t.text == word }

// A field is a list of words separated by commas.
type field []token

// A line is one logical line: fields, with where it begins.
type line struct {
	file   string
	number int
	fields []field
}

func (l line) errorf(format string, args ...any) error {
	return &ParseError{File: l.file, Line: l.number, Message: fmt.Sprintf(format, args...)}
}

// A ParseError is one mistake in a file.
type ParseError struct {
	File    string
	Line    int
	Message string
}

// Error names the file, the line and the mistake.
func (e *ParseError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message) }

const (
	maxDepth = 10      // CONF_FILE_MAX_DEPTH
	maxFile  = 4 << 20 // ours: no sane file comes near, and includes could multiply
)

// A reader tokenises a file and what it includes.
type reader struct {
	fsys  fs.FS
	root  string // of fsys, before names in errors
	errs  []error
	bytes int
}

func (r *reader) read(name string, from *line, depth int) []line {
	fail := func(err error) []line {
		if from != nil {
			err = from.errorf("%v", err)
		}
		r.errs = append(r.errs, err)
		return nil
	}
	if depth > maxDepth {
		return fail(fmt.Errorf("include %q: files are included more than %d levels deep", name, maxDepth))
	}
	if r.fsys == nil {
		return fail(fmt.Errorf("include %q: there are no other files here", name))
	}
	text, err := fs.ReadFile(r.fsys, name)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = &fs.PathError{Op: e.Op, Path: r.root + e.Path, Err: e.Err}
		}
		return fail(err)
	}
	return r.lines(name, string(text), depth)
}

// lines splits text into logical lines and follows include directives.
func (r *reader) lines(name, text string, depth int) []line {
	if r.bytes += len(text); r.bytes > maxFile {
		r.errs = append(r.errs, fmt.Errorf("%s: the files are longer than %d bytes together", name, maxFile))
		return nil
	}
	var out []line
	number := 0
	for len(text) > 0 {
		var raw string
		number++
		l := line{file: r.root + name, number: number}
		raw, text, _ = strings.Cut(text, "\n")
		// A backslash at the end continues the line.
		for raw = strings.TrimSuffix(raw, "\r"); strings.HasSuffix(raw, "\\") && text != ""; number++ {
			var next string
			next, text, _ = strings.Cut(text, "\n")
			raw = raw[:len(raw)-1] + strings.TrimSuffix(next, "\r")
		}
		var err error
		if l.fields, err = splitFields(raw); err != nil {
			r.errs = append(r.errs, l.errorf("%v", err))
			continue
		}
		if len(l.fields) == 0 {
			continue
		}
		if included, ok := r.include(l, depth); ok {
			out = append(out, included...)
			continue
		}
		out = append(out, r.expand(l, depth))
	}
	return out
}

// include follows include, include_if_exists and include_dir.
func (r *reader) include(l line, depth int) ([]line, bool) {
	first := l.fields[0][0]
	if first.quoted || !strings.HasPrefix(first.text, "include") {
		return nil, false
	}
	if first.text != "include" && first.text != "include_if_exists" && first.text != "include_dir" {
		return nil, false
	}
	if len(l.fields) != 2 || len(l.fields[1]) != 1 {
		r.errs = append(r.errs, l.errorf("%s takes one name", first.text))
		return nil, true
	}
	name := resolve(l.file, l.fields[1][0].text)
	switch first.text {
	case "include_if_exists":
		if r.fsys != nil {
			if _, err := fs.Stat(r.fsys, name); errors.Is(err, fs.ErrNotExist) {
				return nil, true
			}
		}
	case "include_dir":
		return r.includeDir(l, name, depth), true
	}
	return r.read(name, &l, depth+1), true
}

func (r *reader) includeDir(l line, dir string, depth int) []line {
	if r.fsys == nil {
		r.errs = append(r.errs, l.errorf("include_dir %q: there are no other files here", dir))
		return nil
	}
	entries, err := fs.ReadDir(r.fsys, dir)
	if err != nil {
		r.errs = append(r.errs, l.errorf("%v", err))
		return nil
	}
	var out []line
	for _, e := range entries { // ReadDir sorts by name, as PostgreSQL does
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), ".conf") {
			continue
		}
		out = append(out, r.read(path.Join(dir, e.Name()), &l, depth+1)...)
	}
	return out
}

// expand replaces each @file by the words of that file, whatever lines they stand on.
func (r *reader) expand(l line, depth int) line {
	for i, f := range l.fields {
		var words field
		for _, t := range f {
			name, ok := strings.CutPrefix(t.text, "@")
			if t.quoted || !ok || name == "" {
				words = append(words, t)
				continue
			}
			for _, inner := range r.read(resolve(l.file, name), &l, depth+1) {
				words = append(words, slices.Concat(inner.fields...)...)
			}
		}
		l.fields[i] = words
	}
	return l
}

// resolve takes a name relative to the directory of the file it stands in.
func resolve(file, name string) string {
	if strings.HasPrefix(name, "/") {
		return strings.TrimPrefix(path.Clean(name), "/") // an fs.FS has no leading slash
	}
	return strings.TrimPrefix(path.Join(path.Dir(file), name), "/")
}

// splitFields splits one logical line: blanks separate fields, commas separate words, quotes
// keep both, # begins a comment (next_token).
func splitFields(s string) ([]field, error) {
	var fields []field
	var current field
	open := false // a comma came last: the field goes on
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '#':
			i = len(s)
			continue
		case isBlank(c):
			i++
			continue
		case c == ',':
			open = true
			i++
			continue
		}
		t, n, err := nextToken(s[i:])
		if err != nil {
			return nil, err
		}
		if !open && current != nil {
			fields = append(fields, current)
			current = nil
		}
		current = append(current, t)
		i += n
		open = false
	}
	if current != nil {
		fields = append(fields, current)
	}
	return fields, nil
}

func nextToken(s string) (token, int, error) {
	var b strings.Builder
	t := token{}
	inQuote := false
	i := 0
	for i < len(s) {
		c := s[i]
		if c == 0 {
			return token{}, 0, errors.New("the line contains a zero byte")
		}
		if !inQuote && (isBlank(c) || c == ',' || c == '#') {
			break
		}
		i++
		if c != '"' {
			b.WriteByte(c)
			continue
		}
		if i == 1 {
			t.quoted = true // only a word that begins with a quote loses its meaning
		}
		if inQuote && i < len(s) && s[i] == '"' { // two quotes are one
			b.WriteByte('"')
			i++
			continue
		}
		inQuote = !inQuote
	}
	if inQuote {
		return token{}, 0, errors.New("a quote is not closed")
	}
	t.text = b.String()
	return t, i, nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// compile makes patterns of the words of a field that begin with a slash.
func (l line) compile(f field) error {
	for i := range f {
		pattern, ok := strings.CutPrefix(f[i].text, "/")
		if f[i].quoted || !ok {
			continue
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return l.errorf("invalid regular expression %q: %v", pattern, err)
		}
		f[i].re = re
	}
	return nil
}
