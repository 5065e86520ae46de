// Package npm fetches packages with npm from whatever registry that is set to.
package npm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
// ctx), and the error of a failed one has the end of what it printed. A registry that
// refuses is asked three times, within some seconds.
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
	for pause := time.Second; ; pause *= 3 {
		said, err := pack(ctx, path, spec, tmp, dst)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err == nil {
			break
		}
		if pause > 3*time.Second || !passing.MatchString(said) {
			return "", fmt.Errorf("npm pack %s: %w\n%s", spec, err, tail(said))
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(pause):
		}
	}
	files, err := filepath.Glob(filepath.Join(dst, "*.tgz"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("npm pack %s wrote %d files, not one", spec, len(files))
	}
	return files[0], os.RemoveAll(Cache(tmp))
}

// passing matches what npm says of a registry, or something before it, that may answer
// otherwise in a moment. A host that cannot be reached npm itself has tried again and again.
var passing = regexp.MustCompile(`(?m)^npm (error|ERR!) code (E403|E408|E425|E429|E5\d\d|EINTEGRITY|ECONNRESET|Z_\w+)$`)

// pack runs npm once and returns what it printed.
func pack(ctx context.Context, program, spec, tmp, dst string) (said string, err error) {
	cmd := exec.CommandContext(ctx, program, "pack", spec, "--pack-destination", dst, "--ignore-scripts", "--loglevel=error")
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
	return out.String(), err
}

// tail returns the last lines of what npm printed, indented.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-10):], "\n  ")
}
