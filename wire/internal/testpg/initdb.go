package testpg

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// SegmentSize is the size of the servers' WAL files: the smallest, since they are copied often.
const SegmentSize = 1 << 20

// Init makes a data directory below the test's temporary directory. It is the copy of one
// that initdb has made once and that stays in the user's cache directory.
func Init(t testing.TB, bin string) (dir string) {
	t.Helper()
	dir, err := initIn(bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func initIn(bin, parent string) (dir string, err error) {
	template, err := template(bin)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(parent, "data")
	if out, err := exec.Command("cp", "-a", template, dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("copy %s: %w\n%s", template, err, out)
	}
	return dir, nil
}

// template returns a data directory that nobody runs a server in.
func template(bin string) (string, error) {
	version, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask for the version of %s: %w", bin, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "pgx-dev", "testpg")
	key := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", bin, version, SegmentSize))
	dir := filepath.Join(parent, fmt.Sprintf("initdb-%x", key[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(parent, "initdb-tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	data := filepath.Join(tmp, "data")
	out, err := command(filepath.Join(bin, "initdb"),
		"-D", data, "-U", "postgres", "-A", "trust", "-N", "--locale=C", "-E", "UTF8",
		fmt.Sprintf("--wal-segsize=%d", SegmentSize>>20)).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// Another process may have been quicker; its directory is as good.
	if err := os.Rename(data, dir); err != nil {
		if _, serr := os.Stat(dir); serr != nil {
			return "", err
		}
	}
	return dir, nil
}
