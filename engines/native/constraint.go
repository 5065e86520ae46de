package native

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A Constraint says which runtimes will do. The zero value takes any.
type Constraint struct {
	text string
	glob *regexp.Regexp // on Runtime.Bindir; nil if it is a version
	nums []int          // leading numbers of the version
	pre  string         // prerelease, which then must be the same
}

// ParseConstraint reads a partial version ("16", "15.4", "9.6", "18beta1"), which matches
// every version that begins with it, or, when there is a slash in it, a glob on the
// directory of the programs: * and ? do not cross slashes, ** does, {a,b} is a choice, and
// a leading ~/ is the home directory. An empty text matches everything.
func ParseConstraint(s string) (Constraint, error) {
	c := Constraint{text: s}
	switch {
	case s == "":
		return c, nil
	case strings.ContainsRune(s, '/'):
		re, err := globRegexp(expandHome(s))
		if err != nil {
			return c, fmt.Errorf("bad glob %q: %w", s, err)
		}
		c.glob = re
		return c, nil
	}
	m := versionText.FindStringSubmatch(s)
	if m == nil {
		return c, fmt.Errorf("bad version %q: give one like 17, 15.4 or 9.6, or a glob on the programs' directory", s)
	}
	for _, t := range m[1:4] {
		if t == "" {
			break
		}
		n, _ := strconv.Atoi(t)
		c.nums = append(c.nums, n)
	}
	if c.nums[0] >= 10 && len(c.nums) > 2 {
		return c, fmt.Errorf("bad version %q: from PostgreSQL 10 on there are two numbers, as in 15.4", s)
	}
	c.pre = m[4]
	return c, nil
}

// String returns the text the constraint was read from.
func (c Constraint) String() string { return c.text }

// IsGlob reports whether the constraint is on the programs' directory.
func (c Constraint) IsGlob() bool { return c.glob != nil }

// Match reports whether rt will do.
func (c Constraint) Match(rt Runtime) bool {
	if c.glob != nil {
		return c.glob.MatchString(filepath.Clean(rt.Bindir))
	}
	return c.MatchVersion(rt.Version)
}

// MatchVersion reports whether v will do as far as its number goes; a glob matches none.
func (c Constraint) MatchVersion(v Version) bool {
	if c.glob != nil {
		return false
	}
	have := []int{v.num / 10000, v.num % 10000}
	if v.num < 100000 {
		have = []int{v.num / 10000, v.num / 100 % 100, v.num % 100}
	}
	if len(c.nums) > len(have) {
		return false
	}
	for i, n := range c.nums {
		if have[i] != n {
			return false
		}
	}
	return c.pre == "" || c.pre == v.pre
}

// allowsMajor reports whether some release of v's major version could match.
func (c Constraint) allowsMajor(v Version) bool {
	major := []int{v.num / 10000}
	if v.num < 100000 {
		major = append(major, v.num/100%100)
	}
	for i, n := range c.nums {
		if i < len(major) && major[i] != n {
			return false
		}
	}
	return true
}

// globRegexp translates a glob to the regular expression that matches the whole path.
func globRegexp(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("^")
	depth := 0
	glob = filepath.Clean(glob)
	for i := 0; i < len(glob); i++ {
		switch ch := glob[i]; ch {
		case '*':
			if strings.HasPrefix(glob[i:], "**/") {
				b.WriteString("(?:.*/)?")
				i += 2
			} else if strings.HasPrefix(glob[i:], "**") {
				b.WriteString(".*")
				i++
			} else {
				b.WriteString("[^/]*")
			}
		case '?':
			b.WriteString("[^/]")
		case '{':
			depth++
			b.WriteString("(?:")
		case '}':
			if depth == 0 {
				return nil, fmt.Errorf("unexpected } at byte %d", i)
			}
			depth--
			b.WriteString(")")
		case ',':
			if depth > 0 {
				b.WriteString("|")
			} else {
				b.WriteString(",")
			}
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	if depth > 0 {
		return nil, fmt.Errorf("a { is not closed")
	}
	b.WriteString("$")
	return regexp.Compile(b.String())
}

// expandHome replaces a leading ~/ by the home directory, if there is one.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, rest)
}
