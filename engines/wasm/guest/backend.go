package guest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/wasm/emscripten"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// Exit codes with which PGlite's backend leaves its main function or its loop.
const (
	exitAlive = 99  // main is done, the backend waits for commands
	exitError = 100 // an ERROR reached the top; the loop's handler must run
)

// newBackend links a fresh pglite.wasm and runs its constructors.
func (rt *Runtime) newBackend(ctx context.Context, f *guestfs.FS) (*Instance, error) {
	in, err := rt.newInstance(ctx, f, environment(), rt.postgres())
	if err != nil {
		return nil, err
	}
	in.setupBackend()
	if _, err := catch(in.registerCallbacks); err != nil {
		in.Close()
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return in, nil
}

// setupBackend gives a backend the host's sides of its callbacks.
func (in *Instance) setupBackend() {
	in.Proc.OnAlarm = in.Interrupt
	in.Proc.Waiting = func() bool { return in.Load(in.rt.pg.symbols.Waiting) != 0 }
	in.popen = func(cmd, _ string) uint32 {
		if strings.HasPrefix(cmd, "locale -a") {
			return uint32(in.Call("fopen", in.cstring(localeAt), in.cstring("r")))
		}
		// COPY PROGRAM and the like: there is no other program.
		const enosys = 52
		in.Memory().WriteUint32Le(uint32(in.Call("__errno_location")), enosys)
		return 0
	}
	in.pclose = func(file uint32) int32 { return int32(in.Call("fclose", uint64(file))) }
}

// Options says how to boot a backend.
type Options struct {
	User     string
	Database string
	Params   []string // "name=value", as for -c
	NoSync   bool     // -F, and no fsync by the host either
	// Setup may change the process before it runs.
	Setup func(p *emscripten.Process)
}

// A BootError says that PostgreSQL refused to start, with what it logged.
type BootError struct {
	Code int
	Log  string
	Err  error // what ended the guest, if it did not exit
}

func (e *BootError) Error() string {
	how := fmt.Sprintf("exit code %d", e.Code)
	if e.Err != nil {
		how, _, _ = strings.Cut(e.Err.Error(), "\n") // without the guest's stack
	}
	return fmt.Sprintf("PostgreSQL did not start (%s): %s", how, e.Log)
}

// Unwrap returns Err.
func (e *BootError) Unwrap() error { return e.Err }

// Boot starts a backend in the data directory of f: recovery runs, if it is due, and the
// backend is ready for Startup.
func (rt *Runtime) Boot(ctx context.Context, f *guestfs.FS, o Options) (*Instance, error) {
	in, err := rt.newBackend(ctx, f)
	if err != nil {
		return nil, err
	}
	in.Proc.NoSync = o.NoSync
	if o.User != "" {
		for i, e := range in.Proc.Env {
			for _, name := range []string{"USER=", "LOGNAME=", "PGUSER="} {
				if strings.HasPrefix(e, name) {
					in.Proc.Env[i] = name + o.User
				}
			}
		}
	}
	var log logTail
	in.Proc.Stdout, in.Proc.Stderr = &log, &log
	if o.Setup != nil {
		o.Setup(in.Proc)
	}
	args := []string{server, "--single"}
	if o.NoSync {
		args = append(args, "-F")
	}
	args = append(args, "-O", "-j")
	for _, p := range append([]string{
		"search_path=public", "exit_on_error=false", "log_checkpoints=false", "max_worker_processes=0",
		"max_parallel_workers=0", "max_parallel_workers_per_gather=0", "max_parallel_maintenance_workers=0", "io_method=sync",
	}, o.Params...) {
		args = append(args, "-c", p)
	}
	args = append(args, "-D", DataDir, o.Database)
	if _, err = catch(func() { in.Call("pgl_setPGliteActive", 1) }); err == nil {
		var code int
		code, err = in.runMain(args)
		if err == nil && code != exitAlive {
			err = &BootError{Code: code, Log: log.String()}
		} else if err != nil {
			err = &BootError{Log: log.String(), Err: err}
		}
	}
	if err == nil {
		_, err = in.try("pgl_startPGlite")
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// Interrupt makes the guest look for interrupts soon. It may be called from any goroutine
// until Close.
func (in *Instance) Interrupt() {
	in.Store(in.rt.pg.symbols.InterruptPending, 1)
	in.setLatch()
	in.Proc.Wake()
}

// Cancel cancels the statement that runs, as SIGINT would. It may be called from any
// goroutine until Close.
func (in *Instance) Cancel() {
	in.Store(in.rt.pg.symbols.QueryCancelPending, 1)
	in.Interrupt()
}

// setLatch sets the process latch. PGlite's WaitLatch looks at nothing else: its poll
// returns at once, so that a wait is a loop on the latch and the clock.
func (in *Instance) setLatch() {
	if latch := in.Load(in.latch); latch != 0 {
		in.Store(latch, 1)
	}
}

// ClearCancel forgets a cancellation that came too late.
func (in *Instance) ClearCancel() { in.Store(in.rt.pg.symbols.QueryCancelPending, 0) }

// Symbols returns the addresses of the session's variables.
func (in *Instance) Symbols() *Symbols { return &in.rt.pg.symbols }

// Step lets the backend take one message from its client and carry it out. An error of
// SQL is no error of Step.
func (in *Instance) Step() error {
	in.polls.restart()
	return in.guarded("PostgresMainLoopOnce")
}

// Settle sends ReadyForQuery, and with it all output, if it is due.
func (in *Instance) Settle() error { return in.guarded("PostgresSendReadyForQueryIfNecessary") }

// Buffered returns how many bytes the backend has read and not yet looked at.
func (in *Instance) Buffered() (int, error) {
	v, err := in.try("pq_buffer_remaining_data")
	return int(int32(v)), err
}

// guarded calls a function of the main loop. When an ERROR leaves it, the loop's handler
// aborts the transaction and reports the error; the stack pointer must be put back first,
// or the stack shrinks with each error.
func (in *Instance) guarded(name string) error {
	sp := in.sp.Get()
	_, err := in.try(name)
	for tries := 0; ; tries++ {
		if overflow(err) && tries <= 10 {
			err = in.raiseTooDeep()
		}
		var exit *emscripten.Exit
		if !errors.As(err, &exit) || exit.Code != exitError || tries > 10 {
			return err
		}
		in.sp.Set(sp)
		_, err = in.try("PostgresMainLongJmp")
	}
}

// Protect calls functions of the guest outside of the main loop. It reports an ERROR that
// they raise as ErrRaised; the message has gone to the client as for a statement.
func (in *Instance) Protect(f func() error) (err error) {
	sp := in.sp.Get()
	defer func() {
		if x := recover(); x != nil {
			err = asError(x)
		}
		if overflow(err) {
			err = in.raiseTooDeep()
		}
		var exit *emscripten.Exit
		if errors.As(err, &exit) && exit.Code == exitError {
			in.sp.Set(sp)
			if err = in.guarded("PostgresMainLongJmp"); err == nil {
				err = ErrRaised
			}
		}
	}()
	return f()
}

// ErrRaised says that PostgreSQL raised an ERROR.
var ErrRaised = errors.New("PostgreSQL raised an error")

// Startup lets the backend take a startup message from Read.
func (in *Instance) Startup() error {
	v, err := in.try("ProcessStartupPacket", in.Call("pgl_getMyProcPort"), 1, 1)
	if err == nil && v != 0 {
		err = fmt.Errorf("the startup message was refused (%d)", int32(v))
	}
	return err
}

// SendGreeting writes AuthenticationOk, every ParameterStatus, BackendKeyData and
// ReadyForQuery.
func (in *Instance) SendGreeting() error {
	if err := in.guarded("pgl_sendConnData"); err != nil {
		return err
	}
	return in.guarded("pgl_pq_flush")
}

// Shutdown ends the backend in order: a shutdown checkpoint is written. The instance is
// good for nothing but Close afterwards.
func (in *Instance) Shutdown() error {
	_, err := catch(func() { in.Call("pgl_setPGliteActive", 0) })
	if err != nil {
		return err
	}
	_, err = in.try("pgl_run_atexit_funcs")
	var exit *emscripten.Exit
	if errors.As(err, &exit) && exit.Code == 0 {
		err = nil
	}
	return err
}

// logTail keeps the end of what is written to it.
type logTail struct{ b []byte }

func (l *logTail) Write(p []byte) (int, error) {
	const keep = 16 << 10
	l.b = append(l.b, p...)
	if len(l.b) > 2*keep {
		l.b = append(l.b[:0], l.b[len(l.b)-keep:]...)
	}
	return len(p), nil
}

func (l *logTail) String() string { return tail(string(l.b)) }
