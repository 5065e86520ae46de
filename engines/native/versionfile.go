package native

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

// Versions are remembered between processes too, because running `postgres --version`
// costs as much as half a start: in the cache directory, in a file each, named after the
// program's path, size and time of change. A cache that cannot be used only costs time.

func (k versionKey) file() (string, error) {
	cache, err := place.Cache()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", k.path, k.size, k.mtime.UnixNano()))
	return filepath.Join(cache, "versions", hex.EncodeToString(sum[:8])), nil
}

// recall returns what an earlier process remembered.
func (k versionKey) recall() (Version, error) {
	path, err := k.file()
	if err != nil {
		return Version{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Version{}, err
	}
	return ParseVersion(strings.TrimSpace(string(text)))
}

// remember is for the next process.
func (k versionKey) remember(v Version) {
	path, err := k.file()
	if err != nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return
	}
	tmp := fmt.Sprintf("%s.tmp-%d", path, os.Getpid())
	defer func() { _ = os.Remove(tmp) }() // gone unless something failed
	if err := os.WriteFile(tmp, []byte(v.String()+"\n"), 0o600); err != nil {
		return
	}
	_ = os.Rename(tmp, path)
}
