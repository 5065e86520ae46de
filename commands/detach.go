package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

// envDetached marks the process that --detach leaves in the background: there the flag has
// had its effect.
const envDetached = "PGX_DEV_DETACHED"

// A detachFlag is --detach, of commands that serve within their own process.
type detachFlag struct {
	Detach bool `short:"d" help:"Leave it running in the background."`
}

// detaches says whether the command has to start itself in the background.
func (f detachFlag) detaches(env *Env) (bool, error) {
	switch {
	case !f.Detach:
		return false, nil
	case env.Command != nil:
		return false, usageError("--detach leaves the server running, a command behind -- ends it: choose one")
	}
	return !env.detached, nil
}

// detach runs this very command line in the background, with its log in a file, and ends
// when the line that says how to reach it is there.
func detach(ctx context.Context, env *Env) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	dir, err := place.Run("/detached")
	if err != nil {
		return err
	}
	log, err := os.CreateTemp(dir, "*.log")
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process in the background has it too
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(env.Environ(), envDetached+"="+log.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return errors.Join(err, os.Remove(log.Name()))
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start in the background: %w", err), os.Remove(log.Name()))
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if !stop() && ctx.Err() != nil {
		_ = cmd.Wait()
		return errors.Join(context.Cause(ctx), os.Remove(log.Name()))
	}
	if err != nil { // it ended
		failed := ChildError(cmd.Wait())
		if text, err := os.ReadFile(log.Name()); err == nil {
			_, _ = env.Stderr.Write(text) // as if it were ours
		}
		return errors.Join(failed, os.Remove(log.Name()))
	}
	if err := env.ready(strings.TrimSuffix(line, "\n")); err != nil {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = os.Remove(log.Name()) // it may have done so itself
		return err
	}
	env.UI.Note("process %d serves in the background; \"kill %d\" ends it, and its log is %s", cmd.Process.Pid, cmd.Process.Pid, log.Name())
	return nil
}

// takeDetached takes the mark of a process in the background out of its environment, so
// that what it starts does not think the same of itself. The log goes with a process that
// ends well.
func (e *Env) takeDetached() {
	path := e.environ[envDetached]
	if path == "" {
		return
	}
	delete(e.environ, envDetached)
	_ = os.Unsetenv(envDetached) // it was set, so the name is good
	e.detached = true
	if dir, err := place.Run("/detached"); err == nil && filepath.Dir(path) == dir {
		e.detachedLog = path // and not whatever file somebody's environment names
	}
}
