package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A postmaster is a running postgres, a child of ours.
type postmaster struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has been waited for
	err  error         // what Wait returned; to be read after done
}

// spawn starts postgres. A goroutine that keeps its thread to itself starts it and waits
// for it: the death signal is sent when the thread ends that forked, and so must not
// depend on what the caller does with its own.
func (e *Engine) spawn(a account, discard bool, path string, args []string, log *os.File) (*postmaster, error) {
	death := syscall.SIGINT
	if discard {
		death = syscall.SIGQUIT
	}
	signal := death
	if e.watchdog {
		signal = 0
	}
	p := &postmaster{cmd: command(a, signal, path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Dir = "/"
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := start(a, p.cmd)
		started <- err
		if err != nil {
			return
		}
		defer close(p.done)
		if !e.watchdog {
			p.err = p.cmd.Wait()
			return
		}
		guard, guardErr := startWatchdog(p.cmd.Process.Pid, death)
		if guardErr != nil {
			_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		}
		p.err = p.cmd.Wait()
		guard.stop()
		if guardErr != nil {
			p.err = errors.Join(guardErr, p.err)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends the postmaster: politely (fast shutdown) until ctx ends, then without a
// checkpoint, then by force. At once skips the polite part.
func (p *postmaster) stop(ctx context.Context, atOnce bool) {
	if !atOnce {
		_ = p.cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-p.done:
			return
		case <-ctx.Done():
		}
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	// postgres kills children that do not react after 5 s (SIGKILL_CHILDREN_AFTER_SECS).
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
		return
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// killed reports whether the postmaster ended without ending its children. It is to be
// asked after done.
func (p *postmaster) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && !status.Exited()
}

// errEnded says that the postmaster ended while it was waited for.
var errEnded = errors.New("postmaster ended")

// ready waits until the server takes connections, as postmaster.pid tells. Connecting
// instead would have it fork a backend for each refusal.
func (p *postmaster) ready(ctx context.Context, dir string) error {
	pause := time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for began := time.Now(); ; {
		select {
		case <-p.done:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		f, err := readPIDFile(dir)
		if err == nil && f.pid == p.cmd.Process.Pid {
			switch f.status {
			case "ready":
				return nil
			case "standby":
				return fmt.Errorf("it is a standby with hot_standby off, which takes no connections: %w", engines.ErrUnsupported)
			}
		}
		// Most starts take 20 to 50 ms; crash recovery may take minutes.
		pause = min(max(time.Millisecond, time.Since(began)/20), 50*time.Millisecond)
		timer.Reset(pause)
	}
}

// A watchdog is a helper process that ends the postmaster if we are killed, where the
// kernel does not do that.
type watchdog struct {
	cmd  *exec.Cmd
	pipe *os.File
	once sync.Once
}

// startWatchdog starts a shell that sends sig to pid when the pipe whose other end we hold
// is closed without a line being written to it.
func startWatchdog(pid int, sig syscall.Signal) (*watchdog, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	defer func() { _ = r.Close() }()
	script := fmt.Sprintf("read -r line || kill -%d %d", int(sig), pid)
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdin = r
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: w}, nil
}

// stop ends the watchdog without having it do anything.
func (w *watchdog) stop() {
	if w == nil {
		return
	}
	w.once.Do(func() {
		_, _ = w.pipe.WriteString("done\n")
		_ = w.pipe.Close()
		_ = w.cmd.Wait()
	})
}
