package guest

import (
	"runtime"
	"time"

	"github.com/tetratelabs/wazero/api"
)

const (
	// firstPoll is how many checks for interrupts a statement makes before it is known how
	// long they take.
	firstPoll = 32
	// mostChecks bounds the checks between two polls, for when what comes after them is much
	// slower than what came before.
	mostChecks = 1024
	// pollGoal is the time between two polls that is aimed at.
	pollGoal = 500 * time.Microsecond
	// yieldAfter is how long a guest runs before other goroutines get their turn.
	yieldAfter = time.Millisecond
)

// A poller decides how often a guest comes to Go. The checks of one statement are
// nanoseconds apart, and those of another milliseconds: it goes by the clock.
type poller struct {
	countdowns []api.MutableGlobal // of the modules
	every      int32               // checks between two polls
	last       time.Time           // the last poll; zero: none in this statement
	lastYield  time.Time
}

// add takes in a module of the guest, if it has a countdown.
func (p *poller) add(m api.Module) {
	if g, ok := m.ExportedGlobal(countdownGlobal).(api.MutableGlobal); ok {
		p.countdowns = append(p.countdowns, g)
		p.set(firstPoll)
	}
}

func (p *poller) set(every int32) {
	p.every = every
	for _, g := range p.countdowns {
		g.Set(uint64(every))
	}
}

// restart says that something else begins, of which nothing is known.
func (p *poller) restart() {
	p.last = time.Time{}
	if p.every > firstPoll {
		p.set(firstPoll)
	}
}

// polled is called by the guest. It is here that the goroutine can be interrupted.
func (p *poller) polled() {
	now := time.Now()
	if p.last.IsZero() {
		p.set(p.every)
	} else {
		p.adapt(now.Sub(p.last))
	}
	if now.Sub(p.lastYield) >= yieldAfter {
		// The scheduler would see to it too, but after ten times as long.
		runtime.Gosched()
		now = time.Now()
		p.lastYield = now
	}
	p.last = now
}

// adapt sets the countdowns after the checks since the last poll took some time.
func (p *poller) adapt(took time.Duration) {
	every := int64(p.every)
	switch {
	case took < pollGoal/2:
		every = min(2*every, mostChecks)
	case took > 2*pollGoal:
		every = max(every*int64(pollGoal)/int64(took), 1)
	}
	p.set(int32(every))
}
