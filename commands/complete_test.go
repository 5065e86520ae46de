package commands

import (
	"slices"
	"strings"
	"testing"
)

// completions returns what completeCmd says about a command line: what else fits, and the
// candidates.
func completions(t testing.TB, words ...string) (kind string, values []string) {
	t.Helper()
	var out strings.Builder
	env := newEnv(strings.NewReader(""), &out, &strings.Builder{}, []string{"PGX_DEV_STATE=" + t.TempDir()})
	env.ClusterNames = func() []string { return []string{"main", "my test"} }
	env.RuntimeVersions = func() []string { return []string{"18", "17", "17.10"} }
	parser, err := newParser(newCLI(), env)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&completeCmd{Words: words}).Run(env, parser); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, line := range lines[1:] {
		value, _, _ := strings.Cut(line, "\t")
		values = append(values, value)
	}
	return lines[0], values
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		line string // words separated by a bar; the last one is being typed
		kind string
		want string // candidates separated by a bar; "…" stands for any more
	}{
		{"conf", ":none", "config"},
		{"", ":none", "…"},
		{"config|", ":none", "init|show|check|path"},
		{"config|show|cluster.t", ":none", "cluster.tcp"},
		{"config|show|cluster.tcp|", ":none", ""},
		{"config|init|", ":file", ""},
		{"down|", ":none", "main|my test"},
		{"down|my", ":none", "my test"},
		{"down|main|", ":none", ""},
		{"clone|main|", ":none", ""}, // a new name
		{"up|--engine|", ":none", "native|wasm"},
		{"up|--engine=", ":none", "--engine=native|--engine=wasm"},
		{"up|--engine=w", ":none", "--engine=wasm"},
		{"up|--pg|17", ":none", "17|17.10"},
		{"up|--pg=18|--pg", ":none", ""},
		{"up|--det", ":none", "--detach"},
		{"up|-d|--det", ":none", ""},
		{"up|--init=a.sql|--ini", ":none", "--init="},
		{"up|--init|", ":file", ""},
		{"up|--dir|", ":dir", ""},
		{"up|--tcp|", ":none", "main|my test"},
		{"up|--|", ":program", ""},
		{"up|--temp|--|psql|", ":file", ""},
		{"exec|main|--|ps", ":program", ""},
		{"down|--|", ":none", "main|my test"},
		{"-vo|embed.ca", ":none", "embed.cache="},
		{"-oembed.cache=false|config|p", ":none", "path"},
		{"embed|d", ":none", "dump"},
		{"embed|--for", ":none", "--format="},
		{"embed|--format|js", ":none", "json|jsonl"},
		{"embed|--temp|", ":file", ""},
		{"embed|--temp|--|", ":program", ""},
		{"embed|--|", ":program", ""},
		{"embed|x.sql|--dir|", ":dir", ""},
		{"--option|cluster.pg=17|--opt", ":none", "--option="},
		{"--state-dir=/x|down|", ":none", "main|my test"},
		{"runtime|list|-", ":none", "…"},
		{"--nosuch|conf", ":none", "config"},
		{"supervi", ":none", ""},
		{"notours|x|", ":file", ""},
		{"--|hel", ":none", "help"},
	} {
		kind, got := completions(t, strings.Split(tt.line, "|")...)
		if tt.want == "…" {
			if len(got) == 0 {
				t.Errorf("%s: nothing fits", tt.line)
			}
			continue
		}
		var want []string
		if tt.want != "" {
			want = strings.Split(tt.want, "|")
		}
		if kind != tt.kind || !slices.Equal(got, want) {
			t.Errorf("%s: got %s %q, want %s %q", tt.line, kind, got, tt.kind, want)
		}
	}
	if kind, got := completions(t); kind != ":none" || len(got) == 0 {
		t.Errorf("no words at all: %s %q", kind, got)
	}
}

// FuzzComplete checks that no command line stops the completer, and that it answers in its
// own format.
func FuzzComplete(f *testing.F) {
	f.Add("up\n--engine=")
	f.Add("-c\n-\n--\n\n=")
	f.Add("exec\n--\nls\n")
	f.Add("runtime\nrm\n-vvv\n--=x\n-é")
	f.Fuzz(func(t *testing.T, line string) {
		kind, values := completions(t, strings.Split(line, "\n")...)
		if !slices.Contains([]string{":none", ":file", ":dir", ":program"}, kind) {
			t.Errorf("the first line is %q", kind)
		}
		for _, v := range values {
			if v == "" {
				t.Error("an empty candidate")
			}
		}
	})
}
