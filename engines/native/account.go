package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// An account is a way to run PostgreSQL's programs, which refuse to run as root.
type account struct {
	name string
	// uid and gid own the data directory and the sockets, as seen from here.
	uid, gid int
	// own says that the files must be given to uid first, because it is not the caller.
	own bool
	// passes says that directories in the way which the user may not enter do not matter.
	passes bool
	// attr adds what the account needs; nil for none.
	attr func(*syscall.SysProcAttr)
}

// errDenied marks that the system does not let us use an account, so that the next one is
// tried. It is never returned to callers.
var errDenied = errors.New("refused by the system")

// self is the account of a caller who is not root.
func self() account {
	return account{name: "the calling user", uid: os.Getuid(), gid: os.Getgid()}
}

// byCredential returns the accounts of another user, used by root: as that user is, which
// does where that user may go, and with root's right to pass everywhere, because root's
// own directories are often closed to all others. As in a user namespace, the server then
// may do to root's files what root may.
func byCredential(name string, uid, gid int) []account {
	plain := account{
		name: "user " + name, uid: uid, gid: gid, own: true,
		attr: func(a *syscall.SysProcAttr) {
			a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		},
	}
	return append([]account{plain}, passing(plain)...)
}

// accounts returns the ways to run a server in the data directory dir, best first. A
// directory that belongs to another user is served as that user. Root's own are served in
// a user namespace, where nothing needs to change hands; where the system does not allow
// that, as the users postgres or nobody, who are then given the directory.
func accounts(dir string) ([]account, error) {
	if os.Getuid() != 0 {
		return []account{self()}, nil
	}
	if uid, gid, ok := owner(dir); ok && uid != 0 {
		name := strconv.Itoa(uid)
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		return byCredential(name, uid, gid), nil
	}
	list := namespaces()
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.Atoi(u.Uid)
		gid, gerr := strconv.Atoi(u.Gid)
		if uerr == nil && gerr == nil && uid > 0 {
			list = append(list, byCredential(name, uid, gid)...)
		}
	}
	return list, nil
}

// withAccount calls run with the first account for dir that the system lets us use.
func (e *Engine) withAccount(dir string, run func(account) error) error {
	list, err := e.accountsFor(dir)
	if err != nil {
		return err
	}
	var refused []string
	for _, a := range list {
		e.mu.Lock()
		err := e.denied[a.name]
		e.mu.Unlock()
		if err == nil {
			err = run(a)
			if !errors.Is(err, errDenied) {
				return err
			}
			if a.global(err) {
				e.mu.Lock()
				e.denied[a.name] = err
				e.mu.Unlock()
			}
		}
		e.log.Debug("account refused", "account", a.name, "error", err)
		refused = append(refused, fmt.Sprintf("%s: %v", a.name, err))
	}
	return fmt.Errorf("PostgreSQL does not run as root, and no other way worked (%s); "+
		"run as another user, allow user namespaces (sysctl user.max_user_namespaces, in Docker a seccomp profile with clone), "+
		"or keep data, cache (PGX_DEV_CACHE) and programs where the user postgres can reach them", strings.Join(refused, "; "))
}

// global reports whether a refusal holds for every directory, not just for this one.
func (a account) global(err error) bool { return !a.own && errors.Is(err, errDenied) }

// give makes a the owner of everything under dir, if it is not the caller.
func (a account) give(dir string) error {
	if !a.own {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, a.uid, a.gid)
	})
}

// reach reports, wrapping errDenied, the first directory on the way to one of the paths
// that the account may not pass. It looks at the mode bits only.
func (a account) reach(paths ...string) error {
	if !a.own || a.passes {
		return nil
	}
	for _, path := range paths {
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			fi, err := os.Stat(dir)
			if err != nil {
				return err
			}
			if !a.may(fi, 0o1) {
				return fmt.Errorf("%w: it may not enter %s (mode %04o)", errDenied, dir, fi.Mode().Perm())
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

// may reports whether the mode grants the account bit (1 search, 2 write, 4 read).
func (a account) may(fi fs.FileInfo, bit fs.FileMode) bool {
	uid, gid, ok := statOwner(fi)
	switch {
	case !ok:
		return true
	case uid == a.uid:
		bit <<= 6
	case gid == a.gid:
		bit <<= 3
	}
	return fi.Mode().Perm()&bit != 0
}

// owner returns who owns path.
func owner(path string) (uid, gid int, ok bool) {
	fi, err := os.Lstat(path)
	if err != nil {
		return 0, 0, false
	}
	return statOwner(fi)
}

func statOwner(fi fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
