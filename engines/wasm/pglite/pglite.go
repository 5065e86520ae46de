// Package pglite gets the npm packages that PostgreSQL for WebAssembly comes in, checks
// them, and unpacks them for use.
//
// A package is taken from a local tarball, from the copy embedded in a binary built with
// -tags bundle, from the cache, or from npm ("npm pack", which follows the user's npm
// settings), in this order, and always checked against a pinned hash. Unpacking happens
// beside the final place and ends with a rename, under a lock: an interrupted one leaves
// nothing that would be used.
package pglite

import (
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A Package is one pinned npm package.
type Package struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"` // as npm writes it: sha512-<base64>
	License   string `json:"license"`
	Provides  string `json:"provides"` // what a person gets
}

// Spec is the package as npm's command line has it.
func (p Package) Spec() string { return p.Name + "@" + p.Version }

// Main is PostgreSQL itself with its contrib extensions.
//
// To move to another version: "just pin @electric-sql/pglite VERSION" changes Version and
// Integrity here, and runs the tests of package guest, which check every import, export and
// variable that we depend on, then those of package wasm. Where they say so, Provides,
// License and ServerVersion follow, the hash in TestRewriting of package guest, and what changed in PGlite's own structures (guest's
// dlopen.go, notify.go and symbols.go name theirs).
func Main() Package {
	return Package{
		Name: "@electric-sql/pglite", Version: "0.5.16",
		Integrity: "sha512-Nj8KcIsJL748W408U2N8q4+9IlONdpRIU8MJypIAAINMJ5nqKyqpX7Mgg/5XKkXiAib3AoZGR6hnJFlrlLBrcg==",
		License:   "Apache-2.0 AND PostgreSQL",
		Provides:  "PostgreSQL 18.6 for WebAssembly",
	}
}

// Vector is the extension pgvector.
func Vector() Package {
	return Package{
		Name: "@electric-sql/pglite-pgvector", Version: "0.0.15",
		Integrity: "sha512-t022ZzaH95MD+FFY+1f1gw8NqSEot3ZW7XM8jNQnEJDcWN+dUaosS/CKqJHFCopGUSE4cwsc18ucbx5trd3jtQ==",
		License:   "Apache-2.0 AND PostgreSQL",
		Provides:  "pgvector 0.8.5",
	}
}

// Tools is pg_dump, of the same major version as Main.
func Tools() Package {
	return Package{
		Name: "@electric-sql/pglite-tools", Version: "0.4.8",
		Integrity: "sha512-WjgS8US6xfuE0wLYn5m9WrZ/+8dQWoQuQSRkpe7eYcxxx1UjZjvq30rpYSHfGrGtTke/zNiCd9ijVGeRUD8ukg==",
		License:   "Apache-2.0 AND PostgreSQL",
		Provides:  "pg_dump 18.3 for WebAssembly",
	}
}

// ServerVersion is the version of the PostgreSQL in Main: as server_version,
// server_version_num, and the contents of PG_VERSION.
func ServerVersion() (version string, num int, major string) { return "18.6", 180006, "18" }

// ErrCorrupt reports bytes that are not the pinned package.
var ErrCorrupt = errors.New("not the package that is pinned")

// Verify checks a tarball against the pinned hash.
func (p Package) Verify(tarball []byte) error {
	want, ok := strings.CutPrefix(p.Integrity, "sha512-")
	if !ok {
		return fmt.Errorf("%s: integrity %q is of no known kind", p.Spec(), p.Integrity)
	}
	sum := sha512.Sum512(tarball)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return fmt.Errorf("%w: %s has sha512 %s, but %s is wanted; fetch it again with «npm pack %s»", ErrCorrupt, p.Spec(), got, want, p.Spec())
	}
	return nil
}

// key names the unpacked package: it changes with the contents and with how we unpack.
func (p Package) key() string {
	const layout = "1"
	sum := sha512.Sum512([]byte(p.Integrity))
	return p.Version + "-" + fmt.Sprintf("%x", sum[:4]) + "-" + layout
}
