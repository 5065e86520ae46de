package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cleanEnv returns the environment for PostgreSQL's programs: ours without everything that
// would make them see another server, locale or time zone. NOTIFY_SOCKET is left out
// because postgres would report its own state to our service manager.
func cleanEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") ||
			slices.Contains([]string{"LANG", "LANGUAGE", "TZ", "NOTIFY_SOCKET"}, name)
	})
	return append(env, "LC_ALL=C")
}

// command prepares a program of a runtime to run as account a, in a process group of its
// own, so that an interrupt typed at the terminal does not reach it before we decide.
func command(a account, death syscall.Signal, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = cleanEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	setDeathSignal(cmd.SysProcAttr, death)
	if a.attr != nil {
		a.attr(cmd.SysProcAttr)
	}
	return cmd
}

// start is cmd.Start that recognises a refused account.
func start(a account, cmd *exec.Cmd) error {
	err := cmd.Start()
	if err == nil || a.attr == nil {
		return err
	}
	// EPERM: not allowed, or capabilities are missing; ENOSPC, EUSERS: max_user_namespaces;
	// EINVAL, ENOSYS: a kernel without them; EACCES: the user may not reach the program.
	for _, no := range []syscall.Errno{syscall.EPERM, syscall.ENOSPC, syscall.EUSERS, syscall.EINVAL, syscall.ENOSYS, syscall.EACCES} {
		if errors.Is(err, no) {
			return fmt.Errorf("%w: %w", errDenied, err)
		}
	}
	return err
}

// A program is a short run of one of PostgreSQL's programs.
type program struct {
	path  string
	args  []string
	env   []string // beside cleanEnv
	stdin string
}

// output runs p to its end and returns what it printed on both outputs. It is killed when
// ctx ends, or with us. It stays on one thread, to whose end the death signal is tied.
func (p program) output(ctx context.Context, a account) (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := command(a, syscall.SIGKILL, p.path, p.args...)
	cmd.Env = append(cmd.Env, p.env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Stdin = strings.NewReader(p.stdin)
	cmd.Dir = "/"
	cmd.WaitDelay = 2 * time.Second
	if err := start(a, cmd); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !stop() && ctx.Err() != nil {
		return out.String(), context.Cause(ctx)
	}
	return out.String(), err
}

// refusedConn reports that nobody listens on a socket (yet).
func refusedConn(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
