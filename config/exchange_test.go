package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestExchangeNames(t *testing.T) {
	t.Parallel()
	const was = `# prod and prod_sharded
[general]
port = 6432 # "prod"

[[databases]]
name = "prod" # the old one
host = "h0"
[[proxy.databases]]
host = "h1"
database_name = "app"
name = 'prod_sharded'

[[sharded_tables]]
database = "prod_sharded"
column = "prod"
[[users]]
name = "prod"
databases = [
  "prod", # here
  "other",
]
`
	const want = `# prod and prod_sharded
[general]
port = 6432 # "prod"

[[databases]]
name = "prod_sharded" # the old one
database_name = "prod"
host = "h0"
[[proxy.databases]]
host = "h1"
database_name = "app"
name = 'prod'

[[sharded_tables]]
database = "prod"
column = "prod"
[[users]]
name = "prod"
databases = [
  "prod_sharded", # here
  "other",
]
`
	path := filepath.Join(t.TempDir(), "pgdog.toml")
	if err := os.WriteFile(path, []byte(was), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	wrong := errors.New("wrong")
	if err := ExchangeNames([]string{path}, "prod", "prod_sharded", func() error { return wrong }); !errors.Is(err, wrong) || read(path) != was {
		t.Errorf("after a check that failed: %v\n%s", err, read(path))
	}
	if err := ExchangeNames([]string{path}, "prod", "prod_sharded", func() error { return nil }); err != nil || read(path) != want {
		t.Errorf("%v\n%s", err, read(path))
	}
	if kept := read(filepath.Join(filepath.Dir(path), "pgdog.bak.toml")); kept != was {
		t.Errorf("kept is\n%s", kept)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := ExchangeNames([]string{"pgbouncer.ini"}, "a", "b", nil); err == nil {
		t.Error("an ini file was taken")
	}
}
