// Package npm fetches packages with npm from whatever registry that is set to.
package npm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ErrNoNpm is returned when there is no npm on PATH.
var ErrNoNpm = errors.New("there is no npm on PATH")

// Cache returns the directory that npm downloads into while Pack works in tmp. It is gone
// afterwards: npm would leave a copy of every package in the user's own cache.
func Cache(tmp string) string { return filepath.Join(tmp, "npm") }

// Pack fetches a package, "name@version", and returns its tarball, a file in the directory
// tmp, which is there and empty. Nothing is verified, and none of the package's scripts is
// run. npm ends with this process, killed or not (on Linux; elsewhere only if it ends
// ctx), and the error of a failed one has the end of what it printed.
func Pack(ctx context.Context, spec, tmp string) (file string, err error) {
	path, err := exec.LookPath("npm")
	if errors.Is(err, exec.ErrNotFound) {
		return "", ErrNoNpm
	} else if err != nil {
		return "", err
	}
	dst := filepath.Join(tmp, "pack")
	for _, dir := range []string{Cache(tmp), dst} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, path, "pack", spec, "--pack-destination", dst, "--ignore-scripts", "--loglevel=error")
	cmd.Env = append(os.Environ(), "npm_config_cache="+Cache(tmp), "npm_config_update_notifier=false")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Else an npm whose pgx-dev was killed goes on, and makes again what was swept. The death
	// signal is tied to this thread.
	setDeathSignal(cmd.SysProcAttr)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("npm pack %s: %w\n%s", spec, err, tail(out.String()))
	}
	files, err := filepath.Glob(filepath.Join(dst, "*.tgz"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("npm pack %s wrote %d files, not one:\n%s", spec, len(files), tail(out.String()))
	}
	return files[0], os.RemoveAll(Cache(tmp))
}

// tail returns the last lines of what npm printed, indented.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-10):], "\n  ")
}
