//go:build unix

package guestfs

import (
	"io/fs"
	"syscall"
)

// sysStat adds what fs.FileInfo does not say.
func sysStat(fi fs.FileInfo, st *Stat) {
	if sys, ok := fi.Sys().(*syscall.Stat_t); ok {
		st.Ino, st.Nlink = uint64(sys.Ino), uint32(sys.Nlink) //nolint:unconvert // the types differ between systems
	}
}
