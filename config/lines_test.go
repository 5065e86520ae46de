package config

import (
	"maps"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

const linesDoc = `# comment with [brackets] and = signs
top = 1
[a]
x = "]" # not the end
"quoted key" = 'it''s'
y = [
  1, # one
  [2, 3],
  "a # b",
]
m = """
[not.a.table]
k = 1
"""
l = '''
z = 2'''
after = { p = 1, q = { r = "}" } }
b.c.d = true

[[list]]
n = 1
[list.sub]
s = 1
[[list]]
n = 2
[[list.inner]]
i = 1
`

func TestLineIndex(t *testing.T) {
	got := lineIndex(linesDoc)
	for key, want := range map[string]int{
		"top": 2, "a": 3, "a.x": 4, `a."quoted key"`: 5, "a.y": 6, "a.y[0]": 7, "a.y[1]": 8, "a.y[1][1]": 8,
		"a.y[2]": 9, "a.m": 11, "a.l": 15, "a.after": 17, "a.after.q.r": 17, "a.b.c.d": 18,
		"list[0].n": 21, "list[0].sub": 22, "list[0].sub.s": 23, "list[1]": 24, "list[1].n": 25,
		"list[1].inner[0].i": 27,
	} {
		if got[key] != want {
			t.Errorf("%s is on line %d, want %d", key, got[key], want)
		}
	}
	if n := got.of("a.x.deeper[3].still"); n != 4 {
		t.Errorf("what is not there is placed on line %d", n)
	}
	if n := got.of("nowhere"); n != 0 {
		t.Errorf("an unknown key is placed on line %d", n)
	}
}

// FuzzLineIndex checks that no input stops the scanner, and that every key of a valid
// document has a line.
func FuzzLineIndex(f *testing.F) {
	f.Add(linesDoc)
	f.Add("[a]\nb = \"\\\"\"\n[c]\n")
	f.Add("a = [ { b = 1 }, { c = '''\n''' } ]\n\"\" = 2")
	f.Add("[[x]]\n[[x]]\ny = 1e3\nz = 1979-05-27T07:32:00Z\n\"a\\u0041\" = 1")
	f.Fuzz(func(t *testing.T, src string) {
		got := lineIndex(src)
		last := strings.Count(src, "\n") + 1
		for key, n := range got {
			if n < 1 || n > last {
				t.Errorf("%q is on line %d of %d", key, n, last)
			}
		}
		var doc map[string]any
		if _, err := toml.Decode(src, &doc); err != nil || strings.ContainsAny(src, "\\\r") {
			return // keys with escapes are found under what they look like
		}
		for name := range maps.Keys(doc) {
			if got[joinKey(name)] == 0 {
				t.Errorf("no line for %q in %q", name, src)
			}
		}
	})
}

// FuzzLoad checks that no file makes Load panic, and that what it accepts it shows.
func FuzzLoad(f *testing.F) {
	f.Add("[cluster]\npg = \"17\"\nidle = \"5m\"\n[cluster.settings]\na = 1\n")
	f.Add("[clusters.a]\ninit = [\"x\"]\n[clusters.b]\n")
	f.Add("[cluster]\nsettings = 5\ninit = [{}]\n[[runtime]]\n")
	f.Fuzz(func(t *testing.T, src string) {
		c := &Config{File: Default(), environ: lookupIn(nil), origins: map[string]Origin{}}
		if err := c.load(src, Name, nil, nil); err != nil {
			return
		}
		again := &Config{File: Default(), environ: lookupIn(nil), origins: map[string]Origin{}}
		if err := again.load(src, Name, nil, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.Settings(), again.Settings()); diff != "" {
			t.Errorf("two loads differ:\n%s", diff)
		}
	})
}
