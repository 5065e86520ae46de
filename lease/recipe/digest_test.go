package recipe

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// put writes a file in one of the ways in which editors do.
func put(t *testing.T, path, text string, how int) {
	t.Helper()
	var err error
	switch how % 3 {
	case 0:
		err = os.WriteFile(path, []byte(text), 0o600)
	case 1: // beside, and moved there
		tmp := filepath.Join(filepath.Dir(path), ".tmp")
		if err = os.WriteFile(tmp, []byte(text), 0o600); err == nil {
			err = os.Rename(tmp, path)
		}
	case 2:
		if err = os.Remove(path); err == nil || os.IsNotExist(err) {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryChangeIsSeen changes files in every way, and asks right after: where directories
// can be watched the very next answer is another one, elsewhere that within lookAgain.
func TestEveryChangeIsSeen(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db", "keys", "linked"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("linked", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "db", "1.sql"), "SELECT 1", 0)
	put(t, filepath.Join(dir, "keys", "k"), "k", 0)
	put(t, filepath.Join(dir, "linked", "1.sql"), "SELECT 1", 0)
	for _, tt := range []struct {
		name    string
		cfg     lease.PoolConfig
		files   []string // that are changed
		watched bool
	}{
		{"globs", lease.PoolConfig{Migrations: []string{"db/*.sql"}, Command: []string{"true"}, KeyFiles: []string{"keys/k"}}, []string{"db/1.sql", "db/2.sql", "keys/k"}, true},
		{"a directory", lease.PoolConfig{Migrations: []string{"db"}}, []string{"db/1.sql", "db/3.sql"}, true},
		{"below a link", lease.PoolConfig{Migrations: []string{"link/*.sql"}}, []string{"linked/1.sql"}, false},
		{"a pattern of directories", lease.PoolConfig{Migrations: []string{"*/1.sql"}}, []string{"db/1.sql"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDigest(tt.cfg, dir)
			defer d.Rest()
			seen := map[string]bool{d.Version(): true}
			watched := d.watch != nil
			if watched && !tt.watched {
				t.Error("it is watched, though that does not tell everything")
			}
			t.Logf("watched: %v", watched)
			for i := range 12 {
				file := tt.files[i%len(tt.files)]
				put(t, filepath.Join(dir, file), fmt.Sprintf("-- %s %2d", tt.name, i), i) // always of one size
				version := d.Version()
				for deadline := time.Now().Add(2 * time.Minute); !watched && seen[version] && time.Now().Before(deadline); version = d.Version() {
					<-time.After(lookAgain / 10)
				}
				if seen[version] || strings.HasPrefix(version, "?") {
					t.Fatalf("change %d, of %s: version %q is an old one", i, file, version)
				}
				seen[version] = true
			}
			gone := filepath.Join(dir, tt.files[0])
			if err := os.Remove(gone); err != nil {
				t.Fatal(err)
			}
			version := d.Version()
			for deadline := time.Now().Add(2 * time.Minute); !watched && seen[version] && time.Now().Before(deadline); version = d.Version() {
				<-time.After(lookAgain / 10)
			}
			if seen[version] {
				t.Errorf("after a file was removed the version is %q", version)
			}
			put(t, gone, "SELECT 1", 0)
		})
	}
}
