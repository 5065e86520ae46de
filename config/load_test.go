package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakes checks what is said about each kind of mistake, and where it is placed.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		env       map[string]string
		set       []string
		want      []string // lines of the error
	}{
		{name: "nothing wrong", src: "[runtime]\nauto = true"},
		{name: "unknown section", src: "\n\n[runtim]\nauto = true", want: []string{"pgx-dev.toml:3: runtim: unknown section; did you mean runtime?"}},
		{name: "key without section", src: "pg = 17", want: []string{"pgx-dev.toml:1: pg: unknown section; did you mean cluster.pg?"}},
		{name: "nothing near", src: "[runtime]\nxyzzy = 1", want: []string{"pgx-dev.toml:2: runtime.xyzzy: unknown key; known here: auto, default, bindirs, store, initdb_args, fresh_id"}},
		{name: "section is a value", src: "cluster = 5", want: []string{"pgx-dev.toml:1: cluster: want a table, have the number 5"}},
		{name: "value is a table", src: "[cluster.pg]\nx = 1", want: []string{"pgx-dev.toml:1: cluster.pg: want a string, have a table"}},
		{name: "named section is a value", src: "[clusters]\nmain = 1", want: []string{"pgx-dev.toml:2: clusters.main: want a table, have the number 1"}},
		{name: "list is a string", src: "[cluster]\ninit = \"a.sql\"", want: []string{`pgx-dev.toml:2: cluster.init: want a list, have the string "a.sql"`}},
		{name: "element on a line of its own", src: "[cluster]\ninit = [\n  \"a.sql\",\n  3,\n]", want: []string{"pgx-dev.toml:4: cluster.init[1]: want a string, have the number 3"}},
		{name: "float for int", src: "[cluster]\nport = 5.5", want: []string{"pgx-dev.toml:2: cluster.port: want a number, have the number 5.5"}},
		{name: "bad duration", src: "[cluster]\nidle = \"5 minutes\"", want: []string{`pgx-dev.toml:2: cluster.idle: want a duration such as 90s or 5m, have "5 minutes"`}},
		{name: "negative duration", src: "[cluster]\nidle = \"-5m\"", want: []string{`pgx-dev.toml:2: cluster.idle: want a duration such as 90s or 5m, have "-5m"`}},
		{name: "setting is a list", src: "[cluster.settings]\na = [1]", want: []string{"pgx-dev.toml:2: cluster.settings.a: want a string, have a list"}},
		{name: "syntax", src: "[runtime]\nauto = \n", want: []string{"pgx-dev.toml:2: expected value but found '\\n' instead"}},
		{name: "twice", src: "[runtime]\nauto = true\nauto = false", want: []string{"pgx-dev.toml:3: Key 'runtime.auto' has already been defined."}},
		{
			name: "all at once, in the order of the file, then environment, then flags",
			src:  "[cluster]\nprot = 1\nport = \"x\"\n[runtime]\nauto = 0",
			env:  map[string]string{"PGX_DEV_CLUSTER_TCP": "perhaps"},
			set:  []string{"cluster.idle", "cluster.port=y", "nosuch=1", "cluster.x=1", "clusters.main=1"},
			want: []string{
				"pgx-dev.toml:2: cluster.prot: unknown key; did you mean cluster.port?",
				`pgx-dev.toml:3: cluster.port: want a number, have the string "x"`,
				"pgx-dev.toml:5: runtime.auto: want true or false, have the number 0",
				`$PGX_DEV_CLUSTER_TCP: cluster.tcp: want true or false, have "perhaps"`,
				"-o cluster.idle: want KEY=VALUE",
				"-o nosuch: unknown section; known here: runtime, embed, cluster, wire, clusters, lease, proxy",
				"-o cluster.x: unknown key; known here: engine, pg, database, fast, tcp, port, settings, init, idle, spare",
				"-o clusters.main: is a section; its keys are clusters.main.engine, clusters.main.pg, clusters.main.database, clusters.main.fast, clusters.main.tcp, clusters.main.port, clusters.main.settings, clusters.main.init, clusters.main.idle, clusters.main.spare",
				`-o cluster.port: want a number, have "y"`,
			},
		},
		{name: "flag entry of a table", set: []string{"cluster.settings.a.b=1"}},
		{name: "flag with bad list", set: []string{"cluster.init=[1"}, want: []string{`-o cluster.init: want a list such as a,b or ["a", "b"], have "[1"`}},
		{name: "flag with bad table", set: []string{"cluster.settings=a"}, want: []string{`-o cluster.settings: want k=v pairs, have "a" in "a"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tryLoad(t, tt.src, tt.env, tt.set)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if want := strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestFind checks the order in which files are looked for.
func TestFind(t *testing.T) {
	root := t.TempDir()
	write := func(name string) string {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flag, env, project, user := write("flag.toml"), write("env.toml"), write("p/pgx-dev.toml"), write("xdg/pgx-dev/pgx-dev.toml")
	deep := filepath.Join(root, "p/a/b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	full := map[string]string{EnvPath: env, "XDG_CONFIG_HOME": filepath.Join(root, "xdg")}
	onlyUser := map[string]string{"XDG_CONFIG_HOME": filepath.Join(root, "xdg")}
	for _, tt := range []struct {
		name, flag, dir string
		env             map[string]string
		want            string
		project         bool
	}{
		{"flag", flag, deep, full, flag, true},
		{"flag relative to the directory", "../../../flag.toml", deep, full, flag, true},
		{"environment", "", deep, full, env, true},
		{"upward", "", deep, onlyUser, project, true},
		{"user", "", root, onlyUser, user, false},
		{"none", "", root, map[string]string{"XDG_CONFIG_HOME": root}, "", false},
		{"a device is no project", "/dev/null", root, nil, "/dev/null", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(Options{Path: tt.flag, Dir: tt.dir, Environ: lookupIn(tt.env)})
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Clean(c.Path) != filepath.Clean(tt.want) && c.Path != tt.want || c.Project != tt.project {
				t.Errorf("found %q (project %v), want %q (%v)", c.Path, c.Project, tt.want, tt.project)
			}
		})
	}
	_, err := Load(Options{Path: "missing.toml", Dir: root, Environ: lookupIn(nil)})
	if !errors.Is(err, ErrNoFile) {
		t.Errorf("a missing file gives %v", err)
	}
}

// TestOthersFile checks that a config that somebody else left in a directory where anybody
// may write is refused, and that naming it makes it ours to trust.
func TestOthersFile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: the file cannot be given away; the rule is tried on our own files by TestFind")
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{Dir: dir, Environ: lookupIn(nil)}); err != nil {
		t.Errorf("root may not read another's project: %v", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Options{Dir: dir, Environ: lookupIn(nil)})
	if err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("a planted file gives %v", err)
	}
	if _, err := Load(Options{Path: path, Dir: dir, Environ: lookupIn(nil)}); err != nil {
		t.Errorf("a file given by name: %v", err)
	}
}

// TestSecrets checks that Settings tells no password.
func TestSecrets(t *testing.T) {
	c := loadString(t, `
[cluster.settings]
primary_conninfo = "host=a password=hush1 user=b"
quoted = "password='hush 2' x=y"
archive_command = "curl https://me:hush3@example.com/%f"
my_password = "hush4"
password_encryption = "scram-sha-256"
`)
	var all strings.Builder
	for _, s := range c.Settings() {
		all.WriteString(s.Key + " = " + s.Text() + "\n")
	}
	if text := all.String(); strings.Contains(text, "hush") || !strings.Contains(text, "user=b") ||
		!strings.Contains(text, "scram-sha-256") || !strings.Contains(text, "example.com/%f") {
		t.Errorf("shown:\n%s", text)
	}
}
