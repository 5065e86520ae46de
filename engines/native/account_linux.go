package native

import (
	"bufio"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// parentDeathSignal says that the kernel ends our children with us (prctl(2),
// PR_SET_PDEATHSIG).
const parentDeathSignal = true

// setDeathSignal has the child get sig when the thread that starts it ends.
func setDeathSignal(a *syscall.SysProcAttr, sig syscall.Signal) { a.Pdeathsig = sig }

// passing returns the account a that keeps one capability over the change of user and the
// exec, as an ambient one (capabilities(7)).
func passing(a account) []account {
	plain := a.attr
	a.name += " with CAP_DAC_OVERRIDE"
	a.passes = true
	a.attr = func(attr *syscall.SysProcAttr) {
		plain(attr)
		attr.AmbientCaps = append(attr.AmbientCaps, unix.CAP_DAC_OVERRIDE)
	}
	return []account{a}
}

// namespaces returns the account that runs programs in a user namespace in which the
// caller, root outside, is an ordinary user. Files stay root's, and the process keeps no
// capability: it may do what any process may do to files that uid 0 owns.
func namespaces() []account {
	inner := passwdUID()
	if inner == 0 {
		return nil
	}
	return []account{{
		name: "user namespace", uid: os.Getuid(), gid: os.Getgid(),
		attr: func(a *syscall.SysProcAttr) {
			a.Cloneflags |= syscall.CLONE_NEWUSER
			a.UidMappings = []syscall.SysProcIDMap{{ContainerID: inner, HostID: os.Getuid(), Size: 1}}
			a.GidMappings = []syscall.SysProcIDMap{{ContainerID: inner, HostID: os.Getgid(), Size: 1}}
			a.GidMappingsEnableSetgroups = false
			a.Credential = &syscall.Credential{Uid: uint32(inner), Gid: uint32(inner), NoSetGroups: true}
		},
	}}
}

// passwdUID returns a user id that initdb can look up a name for: that of nobody, or else
// the first one that is not root's. 0 means that there is none.
func passwdUID() int {
	if _, err := user.LookupId("65534"); err == nil {
		return 65534
	}
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Split(s.Text(), ":")
		if len(fields) < 3 {
			continue
		}
		if uid, err := strconv.Atoi(fields[2]); err == nil && uid > 0 {
			return uid
		}
	}
	return 0
}
