//go:build bundle

package pglite

import (
	"embed"
	"path"
)

// Put the tarballs that "npm pack" gives for Main and Vector into the directory bundle
// before building with -tags bundle.
//
//go:embed bundle/*.tgz
var bundle embed.FS

// bundled returns the package embedded in this program, found by its hash.
func bundled(p Package) ([]byte, bool) {
	entries, err := bundle.ReadDir("bundle")
	if err != nil {
		return nil, false
	}
	for _, e := range entries {
		if b, err := bundle.ReadFile(path.Join("bundle", e.Name())); err == nil && p.Verify(b) == nil {
			return b, true
		}
	}
	return nil, false
}
