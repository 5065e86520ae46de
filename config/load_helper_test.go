package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// loadString loads src as the only source of configuration.
func loadString(t *testing.T, src string) *Config {
	t.Helper()
	c, err := tryLoad(t, src, nil, nil)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

// tryLoad loads src with an environment and flags of its own.
func tryLoad(t *testing.T, src string, env map[string]string, set []string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Name), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Options{Dir: dir, Environ: lookupIn(env), Set: set})
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func typeOfFile() reflect.Type { return reflect.TypeFor[File]() }

func splitKey(key string) []string { return strings.Split(key, ".") }
