//go:build !bundle

package pglite

// bundled returns the package embedded in this program; here there is none.
func bundled(Package) ([]byte, bool) { return nil, false }
