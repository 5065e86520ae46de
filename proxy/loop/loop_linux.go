package loop

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// A Group is some loops. It is safe for concurrent use.
type Group struct {
	loops []*Loop
	next  atomic.Uint32
	wg    sync.WaitGroup
	once  sync.Once
}

// New starts n loops; n below 1 means one for every four processors, and at least one.
func New(n int) (*Group, error) {
	if n < 1 {
		n = max(1, runtime.GOMAXPROCS(0)/4)
	}
	g := &Group{}
	for range n {
		l, err := newLoop()
		if err != nil {
			g.Close()
			return nil, err
		}
		g.loops = append(g.loops, l)
		g.wg.Go(l.run)
	}
	return g, nil
}

// Close ends the loops and returns when they have ended. Connections that are still there are
// closed, and their handlers told. A second call does nothing.
func (g *Group) Close() {
	g.once.Do(func() {
		for _, l := range g.loops {
			l.mu.Lock()
			l.closing = true
			l.due.Store(true)
			l.mu.Unlock()
			l.wake()
		}
		g.wg.Wait()
	})
}

// pick returns the loops in turn.
func (g *Group) pick() *Loop { return g.loops[int(g.next.Add(1))%len(g.loops)] }

// A Loop is one thread and the connections that it drives.
type Loop struct {
	epoll, event int // descriptors
	asleep       atomic.Bool
	due          atomic.Bool // there is something in the queue, or the end has come
	buf          [bufferSize]byte
	running      []Task
	quiet        int       // how often it has waited in vain
	alone        bool      // there is one processor only
	now          time.Time // zero: nobody has asked since the loop last waited
	yielded      time.Time // when it last let others have its processor, or began

	mu      sync.Mutex
	closing bool
	slots   []*Conn // by what epoll returns
	free    []uint32
	last    uint32 // generation
	queue   []Task
}

const wakeSlot = -1

func newLoop() (*Loop, error) {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("loop: epoll_create1: %w", err)
	}
	// EFD_CLOEXEC and EFD_NONBLOCK are O_CLOEXEC and O_NONBLOCK.
	fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		_ = syscall.Close(ep)
		return nil, fmt.Errorf("loop: eventfd2: %w", errno)
	}
	l := &Loop{epoll: ep, event: int(fd), alone: runtime.GOMAXPROCS(0) == 1, yielded: time.Now()}
	if err := syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, l.event, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: wakeSlot}); err != nil {
		_ = syscall.Close(ep)
		_ = syscall.Close(l.event)
		return nil, fmt.Errorf("loop: epoll_ctl: %w", err)
	}
	return l, nil
}

// Post has the loop call f soon. It never waits. After Close nothing is called.
func (l *Loop) Post(f func()) { l.PostTask(call(f)) }

type call func()

func (f call) Do() { f() }

// PostTask is Post of a task.
func (l *Loop) PostTask(t Task) {
	l.mu.Lock()
	l.queue = append(l.queue, t)
	l.due.Store(true)
	l.mu.Unlock()
	if l.asleep.Load() {
		l.wake()
	}
}

func (l *Loop) wake() {
	one := uint64(1)
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(l.event), uintptr(unsafe.Pointer(&one)), 8)
}

// run is the loop. It is not bound to its thread: the runtime, which interrupts it every few
// milliseconds, would need two more to let it go on.
func (l *Loop) run() {
	defer l.end()
	events := make([]syscall.EpollEvent, maxEvents)
	var conns [maxEvents]*Conn
	for {
		if !l.tasks() {
			return
		}
		l.yield()
		n := l.wait(events)
		if n == 0 {
			continue
		}
		l.mu.Lock()
		for i, e := range events[:n] {
			if conns[i] = nil; e.Fd != wakeSlot {
				conns[i] = l.slots[e.Fd]
			}
		}
		l.mu.Unlock()
		for i := range events[:n] {
			e, c := &events[i], conns[i]
			conns[i] = nil
			switch {
			case e.Fd == wakeSlot:
				var n uint64
				_, _, _ = syscall.RawSyscall(syscall.SYS_READ, uintptr(l.event), uintptr(unsafe.Pointer(&n)), 8)
			case c != nil && c.generation == uint32(e.Pad): // else it was closed meanwhile
				c.happened(e.Events, l.buf[:])
			}
		}
	}
}

// maxEvents is how many events the kernel tells at a time.
const maxEvents = 256

// tasks does what was posted, and reports whether the loop goes on.
func (l *Loop) tasks() bool {
	if !l.due.Load() {
		return true
	}
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return false
	}
	l.due.Store(false)
	l.running, l.queue = l.queue, l.running[:0]
	l.mu.Unlock()
	for i, t := range l.running {
		t.Do()
		l.running[i] = nil
	}
	return true
}

// end closes what is left, and does what was posted.
func (l *Loop) end() {
	l.mu.Lock()
	left := slices.Clone(l.slots)
	l.mu.Unlock()
	for _, c := range left {
		if c != nil {
			_ = c.Close()
		}
	}
	for {
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		if len(queue) == 0 {
			break
		}
		for _, t := range queue {
			t.Do()
		}
	}
	_ = syscall.Close(l.epoll)
	_ = syscall.Close(l.event)
}

// spin is for how many milliseconds the loop waits at a time without giving up its processor, and
// patience how often it does before it gives it up: that costs many wake-ups of the runtime's watcher,
// each time.
const (
	spin     = 10
	patience = 20
)

// wait returns how many events there are. There may be none: something was posted, a signal came, or
// nothing did for a while.
func (l *Loop) wait(events []syscall.EpollEvent) int {
	n := 0
	l.asleep.Store(true)
	// Alone on the only processor the loop must not hold it.
	long := l.quiet >= patience || l.alone
	switch {
	case l.due.Load():
		n = l.poll(events, 0, true)
		l.asleep.Store(false)
		return max(0, n)
	case long:
		n = l.poll(events, -1, false)
	default:
		n = l.poll(events, spin, true)
	}
	l.asleep.Store(false)
	if n > 0 {
		l.quiet = 0
	} else if !long {
		l.quiet++
	}
	if long || n <= 0 {
		l.alone = runtime.GOMAXPROCS(0) == 1 // it may change
	}
	return max(0, n)
}

// time is when the loop last found something to do.
func (l *Loop) time() time.Time {
	if l.now.IsZero() {
		// To ask the monotonic clock alone takes half the time.
		l.now = l.yielded.Add(time.Since(l.yielded))
	}
	return l.now
}

// goyield has the scheduler run what waits for this processor, and then go on here. Unlike
// runtime.Gosched it wakes no other thread to look for work that there is not.
//
//go:linkname goyield runtime.goyield
func goyield()

// slice is for how long the loop keeps its processor. After ten milliseconds the runtime would
// interrupt it by a signal, which costs several threads' wake-ups.
const slice = 4 * time.Millisecond

// yield lets others have the processor if it is time to, as far as anybody has asked for that.
func (l *Loop) yield() {
	if !l.now.IsZero() && l.now.Sub(l.yielded) > slice {
		goyield()
		l.yielded = time.Now()
	}
	l.now = time.Time{}
}

// poll is epoll_pwait. It returns -1 after a signal.
func (l *Loop) poll(events []syscall.EpollEvent, ms int, raw bool) int {
	var n uintptr
	var errno syscall.Errno
	p := unsafe.Pointer(&events[0])
	if raw {
		n, _, errno = syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(p), uintptr(len(events)), uintptr(ms), 0, 0)
	} else {
		n, _, errno = syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(p), uintptr(len(events)), uintptr(ms), 0, 0)
	}
	if errno != 0 {
		return -1
	}
	return int(n)
}

// enter gives a connection a slot.
func (l *Loop) enter(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.last++
	c.generation = l.last
	if n := len(l.free); n > 0 {
		c.slot = l.free[n-1]
		l.free = l.free[:n-1]
		l.slots[c.slot] = c
		return true
	}
	c.slot = uint32(len(l.slots))
	l.slots = append(l.slots, c)
	return true
}

// leave takes the slot back.
func (l *Loop) leave(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots[c.slot] = nil
	l.free = append(l.free, c.slot)
}
