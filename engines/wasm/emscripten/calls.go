package emscripten

import (
	"crypto/rand"
	"maps"
	"strings"

	"github.com/tetratelabs/wazero/api"
)

// A Call is an imported function: its arguments are in s, of which only the lower half
// counts where the parameter has 32 bits, and it leaves its result in
// s[0]. It may panic with *Exit, *Fault or *Abort, which ends the guest.
type Call func(p *Process, s []uint64)

// An Abort is abort(3) or a failed assertion of the guest.
type Abort struct{ Message string }

func (a *Abort) Error() string { return "the guest aborted: " + a.Message }

// Calls returns every function that this package gives to guests, by import name. Names
// that begin with "__syscall_" return a negative errno, WASI's a positive one.
func Calls() map[string]Call {
	calls := map[string]Call{}
	for _, group := range []map[string]Call{fileCalls(), pathCalls(), statCalls(), descriptorCalls(), memoryCalls(), timeCalls(), processCalls(), networkCalls()} {
		maps.Copy(calls, group)
	}
	return calls
}

func result(s []uint64, v int32) { s[0] = uint64(uint32(v)) }

// ok is a call that succeeds without doing anything.
func ok(_ *Process, s []uint64) { result(s, 0) }

func nosys(_ *Process, s []uint64) { result(s, -eNOSYS) }

// Unsupported stands for an import of the C library or the system that has no meaning here.
// It fails with ENOSYS where the function returns a number, as musl expects of a missing
// system call. Of other functions, which a caller would take at their word, there is none:
// it returns nil.
func Unsupported(name string, results []api.ValueType) Call {
	switch name {
	case "mprotect", "mlock", "madvise", "setbuf", "signal", "tcgetattr", "tcsetattr", "sleep", "getsockopt", "setsockopt",
		"getsockname", "gethostbyname", "shutdown", "getpwuid_r", "sigemptyset", "sigaddset", "pthread_sigmask", "sigpending":
	default:
		if !strings.HasPrefix(name, "__") && !strings.HasPrefix(name, "_") && !strings.HasPrefix(name, "emscripten_") && !strings.HasPrefix(name, "fd_") {
			return nil
		}
	}
	if len(results) == 0 {
		return func(*Process, []uint64) {}
	}
	return nosys
}

func processCalls() map[string]Call {
	exit := func(_ *Process, s []uint64) { panic(&Exit{int(int32(s[0]))}) }
	return map[string]Call{
		"exit":      exit,
		"proc_exit": exit,
		"_abort_js": func(*Process, []uint64) { panic(&Abort{"abort()"}) },
		"__assert_fail": func(p *Process, s []uint64) {
			panic(&Abort{"assertion " + p.String(uint32(s[0]))})
		},
		"environ_sizes_get": func(p *Process, s []uint64) {
			n := 0
			for _, e := range p.Env {
				n += len(e) + 1
			}
			p.putU32(uint32(s[0]), uint32(len(p.Env)))
			p.putU32(uint32(s[1]), uint32(n))
			result(s, 0)
		},
		"environ_get": func(p *Process, s []uint64) {
			list, text := uint32(s[0]), uint32(s[1])
			for _, e := range p.Env {
				p.putU32(list, text)
				p.putString(text, e)
				list += 4
				text += uint32(len(e)) + 1
			}
			result(s, 0)
		},
		"__syscall_chdir": func(p *Process, s []uint64) {
			dir := p.abs(atCwd, p.String(uint32(s[0])))
			st, err := p.FS.Stat(dir)
			if err == nil && st.Mode.IsDir() {
				p.Cwd = dir
			} else if err == nil {
				result(s, -54) // ENOTDIR
				return
			}
			result(s, -errno(err))
		},
		"__syscall_getcwd": func(p *Process, s []uint64) {
			if uint32(len(p.Cwd))+1 > uint32(s[1]) {
				result(s, -eRANGE)
				return
			}
			p.putString(uint32(s[0]), p.Cwd)
			result(s, int32(len(p.Cwd)+1))
		},
		// The guest is root in its own small world.
		"__syscall_getuid32":  ok,
		"__syscall_geteuid32": ok,
		"__syscall_getgid32":  ok,
		"__syscall_getegid32": ok,
		"__syscall_umask":     func(_ *Process, s []uint64) { result(s, 0o077) },
		"__call_sighandler":   func(p *Process, s []uint64) { p.Guest.CallSlot(uint32(s[0]), s[1]) },
		"setTempRet0":         func(p *Process, s []uint64) { p.Guest.Call("_emscripten_tempret_set", s[0]) },
		"getTempRet0":         func(p *Process, s []uint64) { s[0] = p.Guest.Call("_emscripten_tempret_get") },
		"random_get": func(p *Process, s []uint64) {
			_, err := rand.Read(p.view(uint32(s[0]), uint32(s[1])))
			result(s, errno(err))
		},
	}
}
