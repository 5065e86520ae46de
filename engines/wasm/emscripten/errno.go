package emscripten

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Error numbers of WASI, which Emscripten uses (wasi/api.h, errno).
const (
	eBADF  = 8
	eINTR  = 27
	eINVAL = 28
	eIO    = 29
	eNOENT = 44
	eNOMEM = 48
	eNOSYS = 52
	eNOTTY = 59
	eRANGE = 68
	eSPIPE = 70
)

var errnos = map[syscall.Errno]int32{
	syscall.EPERM: 63, syscall.ENOENT: eNOENT, syscall.EINTR: eINTR, syscall.EIO: eIO, syscall.EBADF: eBADF,
	syscall.EAGAIN: 6, syscall.ENOMEM: eNOMEM, syscall.EACCES: 2, syscall.EBUSY: 10, syscall.EEXIST: 20,
	syscall.EXDEV: 75, syscall.ENOTDIR: 54, syscall.EISDIR: 31, syscall.EINVAL: eINVAL, syscall.ENFILE: 41,
	syscall.EMFILE: 33, syscall.EFBIG: 22, syscall.ENOSPC: 51, syscall.ESPIPE: eSPIPE, syscall.EROFS: 69,
	syscall.EMLINK: 34, syscall.EPIPE: 64, syscall.ENOTEMPTY: 55, syscall.ENAMETOOLONG: 37, syscall.ELOOP: 32,
	syscall.ENOSYS: eNOSYS, syscall.EDQUOT: 19, syscall.ENOTSUP: 58,
}

// errno returns the guest's number for an error of the host, 0 for nil.
func errno(err error) int32 {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		if n, ok := errnos[e]; ok {
			return n
		}
		return eIO
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return eNOENT
	case errors.Is(err, os.ErrClosed):
		return eBADF
	}
	return eIO
}

func itoa(n int) string { return strconv.Itoa(n) }
