//go:build linux

package outside_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/commands/ui/ptytest"
)

// A project with two clusters, a plugin on PATH, a fetched runtime and some files, for
// shells to complete from.
func completionProject(t *testing.T) (dir string, env []string) {
	dir = t.TempDir()
	for _, d := range []string{".pgx-dev/main", ".pgx-dev/other one", ".pgx-dev/half.tmp-1", "cache/runtimes/17.10/bin", "bin", "subdir"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{
		".pgx-dev/main/PG_VERSION": 0o600, ".pgx-dev/other one/PG_VERSION": 0o600,
		"bin/pgx-dev-hello": 0o755, "conf.toml": 0o600, "conf.sql": 0o600,
	} {
		text := "17\n"
		switch filepath.Ext(path) {
		case ".toml":
			text = ""
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PGX_DEV_") || strings.HasPrefix(kv, "XDG_") || strings.HasPrefix(kv, "INPUTRC=")
	})
	env = append(env, "HOME="+dir, "TERM=xterm", "PGX_DEV_CACHE="+filepath.Join(dir, "cache"),
		"PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "INPUTRC=/dev/null", "ZDOTDIR="+dir)
	return dir, env
}

// typed are what a person types before TAB, and the arguments that pgx-dev then gets.
var typed = []struct{ keys, want string }{
	{"vers", "version"},
	{"config sh", "config show"},
	{"psql -f conf.s", "psql -f conf.sql"},
	{"config init conf.s", "config init conf.sql"},
	{"runtime rm 1", "runtime rm 17.10"},
	{"--state-d", "--state-dir="},
	{"--state-dir=sub", "--state-dir=subdir/"},
	{"--config conf.t", "--config conf.toml"},
	{"--config=conf.t", "--config=conf.toml"},
	{"completion zs", "completion zsh"},
	{"help exit", "help exit-codes"},
	{"-o runtime.au", "-o runtime.auto="},
	{"-o runtime.auto=t", "-o runtime.auto=true"},
	{"-o cluster.spare=r", "-o cluster.spare=running"},
	{"--option=cluster.fast=f", "--option=cluster.fast=false"},
	{"-o proxy.general.pooler_mode=st", "-o proxy.general.pooler_mode=statement"},
	{"hel", "hel"}, // help and hello
	{"hell", "hello"},
	{"config show --js", "config show --json"},
	{"runtime install 17.", "runtime install 17.10"},
	{"nosuch --", "nosuch --"},
}

// TestCompletionBash types into an interactive bash, with and without bash-completion.
func TestCompletionBash(t *testing.T) {
	bash := need(t, "bash")
	const lib = "/usr/share/bash-completion/bash_completion"
	for _, tt := range []struct{ name, setup string }{
		{"alone", ":"},
		{"with bash-completion", "source " + lib},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := os.Stat(lib); err != nil && tt.name != "alone" {
				if os.Getenv("CI") != "" {
					t.Fatal("bash-completion is not installed, and under CI nothing is skipped")
				}
				t.Skip("bash-completion is not installed")
			}
			dir, env := completionProject(t)
			cmd := exec.CommandContext(t.Context(), bash, "--noprofile", "--norc", "-i")
			cmd.Dir, cmd.Env = dir, append(env, "PS1=")
			term := ptytest.Start(t, cmd)
			term.Type("PS1='RE''ADY> '; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; " + tt.setup + "; source <(pgx-dev completion bash)\n")
			typeInto(t, term)
			// Everything that fits, as Meta-* inserts it.
			term.Type("pgx-dev completion \x1b*\n")
			term.Expect("GOT<completion bash fish zsh>")
		})
	}
}

// TestCompletionZsh types into an interactive zsh.
func TestCompletionZsh(t *testing.T) {
	zsh := need(t, "zsh")
	dir, env := completionProject(t)
	cmd := exec.CommandContext(t.Context(), zsh, "-f", "-i")
	cmd.Dir, cmd.Env = dir, env
	term := ptytest.Start(t, cmd)
	term.Type("PROMPT='RE''ADY> ' RPROMPT= PROMPT_EOL_MARK=; unset zle_bracketed_paste; unsetopt beep automenu autoremoveslash; LISTMAX=1000\n" +
		"autoload -Uz compinit; compinit -D -u; source <(pgx-dev completion zsh)\n")
	typeInto(t, term)
	term.Type("pgx-dev runtime \t\t")
	for _, line := range []string{"install", "Fetch a PostgreSQL", "ls", "rm"} {
		term.Expect(line)
	}
}

// typeInto has the shell complete what is typed, and pgx-dev say what it got.
func typeInto(t *testing.T, term *ptytest.Term) {
	t.Helper()
	term.Type("pgx-dev() { if [ \"$1\" = __complete ]; then command pgx-dev \"$@\"; else echo \"GO\"\"T<$*>\"; fi; }\n")
	term.Type("echo be''gin\n")
	term.Expect("begin")
	for _, tt := range typed {
		term.Expect("READY> ")
		term.Type("pgx-dev " + tt.keys + "\t\n")
		term.Expect("GOT<")
		if got := strings.TrimRight(term.Expect(">"), " "); got != tt.want {
			t.Errorf("%q TAB became %q, want %q", tt.keys, got, tt.want)
		}
	}
	term.Expect("READY> ")
}

// TestCompletionFish asks fish what it would offer.
func TestCompletionFish(t *testing.T) {
	fish := need(t, "fish")
	dir, env := completionProject(t)
	offers := func(line string) []string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), fish, "--no-config", "-c", "pgx-dev completion fish | source; complete -C $argv[1]", line)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("fish: %v\n%s", err, out)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	for _, tt := range typed {
		if tt.keys == "hel" || strings.HasPrefix(tt.keys, "nosuch") {
			continue
		}
		words := strings.Fields(tt.want)
		got := offers("pgx-dev " + tt.keys)
		want := words[len(words)-1]
		if len(got) != 1 || strings.Split(got[0], "\t")[0] != want {
			t.Errorf("%q offers %q, want %q", tt.keys, got, want)
		}
	}
	if got := offers("pgx-dev hel"); !slices.Equal(got, []string{"hello\tplugin", "help\tShow help on a topic or a command."}) {
		t.Errorf("hel offers %q", got)
	}
	if got := offers("pgx-dev completion "); len(got) != 3 {
		t.Errorf("completion offers %q", got)
	}
	// A plugin's own words are files.
	if got := offers("pgx-dev hello conf"); !slices.Equal(got, []string{"conf.sql", "conf.toml"}) {
		t.Errorf("a plugin's words offer %q", got)
	}
}
