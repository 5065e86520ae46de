package place

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A supervisor, which has another working directory, finds the same place.
func TestTempRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PGX_DEV_TEMP", "some where")
	if dir, err := Temp(0); err == nil || !strings.Contains(err.Error(), "PGX_DEV_TEMP must name a directory") {
		t.Errorf("missing: %q, %v", dir, err)
	}
	if err := os.Mkdir("some where", 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := Temp(0)
	if err != nil || !filepath.IsAbs(dir) {
		t.Errorf("%q, %v", dir, err)
	}
	if roots := TempRoots(); !slices.Contains(roots, dir) {
		t.Errorf("the roots are %q, without %s", roots, dir)
	}
}
