//go:build !unix

package guestfs

import (
	"hash/fnv"
	"io/fs"
)

// sysStat makes up an inode number, which PostgreSQL compares for equality only.
func sysStat(fi fs.FileInfo, st *Stat) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(fi.Name()))
	st.Ino = h.Sum64()
}
