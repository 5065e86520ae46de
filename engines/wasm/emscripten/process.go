// Package emscripten is the system that a program compiled by Emscripten believes to run
// on: file descriptors, clocks, randomness, pipes, poll and timers, in the shape of the
// functions that such a program imports.
//
// A [Process] is the state of one running instance. [Calls] maps import names to Go
// functions that work on a Process; linking them to a module is the caller's business.
// Numbers and structures are those of Emscripten's musl (wasm32): errno values are
// WASI's, open flags Linux's.
package emscripten

import (
	"io"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// An Exit is what exit(3) panics with; it comes out of the guest call as its error.
type Exit struct{ Code int }

func (e *Exit) Error() string { return "the guest exited with code " + itoa(e.Code) }

// Guest is what the host needs from the instance: its memory and some of its functions.
type Guest interface {
	Memory() api.Memory
	// Call calls an exported function; it panics when the guest does.
	Call(name string, args ...uint64) uint64
	// CallSlot calls the function (i32) -> nothing in a slot of the table.
	CallSlot(slot uint32, arg uint64)
}

// A Process is one program's view of the system. Its calls come from one goroutine;
// Wake and Alarm may be called from any.
type Process struct {
	Guest Guest
	FS    *guestfs.FS
	Args0 string
	Env   []string
	Cwd   string
	// Stdin and Stdout are what descriptors 0, 1 and 2 are connected to.
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// OnAlarm is called, from any goroutine, when a timer that the guest set is due and
	// the guest has to be told: it must see to it that Alarms is called soon, and not call
	// the process itself.
	OnAlarm func()
	// Waiting reports, if set, that the guest waits by looking at the clock again and
	// again; a look then takes a while.
	Waiting func() bool
	// Written is called with the path and size of every write to a file, if set.
	Written func(path string, n int)
	// HeapMax bounds the guest's memory in bytes. Default, and at most: 2 GiB.
	HeapMax uint64
	// NoSync leaves out fsync.
	NoSync bool
	// Client says that the program connects to a server, through its callbacks.
	Client bool

	fds    []*description
	start  time.Time
	wake   chan struct{}
	napper *time.Timer
	timer  alarmClock
}

// New returns a process without files, whose descriptors 0 to 2 are open.
func New(fs *guestfs.FS, env []string) *Process {
	p := &Process{FS: fs, Env: env, Cwd: "/", Stdout: io.Discard, Stderr: io.Discard, start: time.Now(), wake: make(chan struct{}, 1)}
	for n, name := range []string{"/dev/stdin", "/dev/stdout", "/dev/stderr"} {
		p.fds = append(p.fds, &description{path: name, dev: standard, std: n, refs: 1})
	}
	return p
}

// Close closes every descriptor and stops the timer.
func (p *Process) Close() {
	p.timer.stop()
	for fd := range p.fds {
		_ = p.close(fd)
	}
}

// Wake ends a poll that is under way, or the next one.
func (p *Process) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// nap lets time pass while the guest waits by looking at the clock.
func (p *Process) nap() {
	const step = 500 * time.Microsecond
	if p.napper == nil {
		p.napper = time.NewTimer(step)
	} else {
		p.napper.Reset(step)
	}
	select {
	case <-p.wake:
		p.napper.Stop()
	case <-p.napper.C:
	}
}

// alarmClock is the guest's ITIMER_REAL.
type alarmClock struct {
	mu    sync.Mutex
	timer *time.Timer
	due   bool
	set   int // counts settings, so that a late firing of an old one is known
}

func (a *alarmClock) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set++
	a.due = false
	if a.timer != nil {
		a.timer.Stop()
	}
}

// setTimer is setitimer(ITIMER_REAL); 0 stops it.
func (p *Process) setTimer(d time.Duration) {
	a := &p.timer
	a.stop()
	if d <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	set := a.set
	a.timer = time.AfterFunc(d, func() {
		// OnAlarm touches the guest's memory: stop, which Close calls before the memory goes,
		// has to wait for it.
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.set != set {
			return
		}
		a.due = true
		if p.OnAlarm != nil {
			p.OnAlarm()
		}
		p.Wake()
	})
}

// Alarms runs the guest's signal handler if a timer is due, and reports whether it did.
// It is called on the guest's goroutine, during one of its calls.
func (p *Process) Alarms() bool {
	p.timer.mu.Lock()
	due := p.timer.due
	p.timer.due = false
	p.timer.mu.Unlock()
	if due {
		p.Guest.Call("_emscripten_timeout", 0, api.EncodeF64(p.now()))
	}
	return due
}

// Uptime returns what the process's monotonic clock says.
func (p *Process) Uptime() time.Duration { return time.Since(p.start) }

// SetUptime makes the monotonic clock go on from d.
func (p *Process) SetUptime(d time.Duration) { p.start = time.Now().Add(-d) }

// now is emscripten_get_now: milliseconds on a monotonic clock.
func (p *Process) now() float64 { return float64(time.Since(p.start)) / 1e6 }

// RaiseAlarm makes the guest's timer due now. A restored guest may believe that a timer
// of its former life still runs; its handler then sets it anew.
func (p *Process) RaiseAlarm() {
	p.timer.mu.Lock()
	p.timer.due = true
	p.timer.mu.Unlock()
}

// AlarmDue reports whether Alarms would run the guest's handler.
func (p *Process) AlarmDue() bool {
	p.timer.mu.Lock()
	defer p.timer.mu.Unlock()
	return p.timer.due
}
