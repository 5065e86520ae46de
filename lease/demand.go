package lease

import (
	"math"
	"time"
)

// demand decides how many items to have ready. It is the configured number, or more:
// as many as are asked for in the time it takes to make them, and twice as many as before
// when somebody had to wait. What nobody needed for a while is given up, one by one.
// The pool's mutex guards it.
type demand struct {
	least, most, parallel int

	extra   int       // on top of least, because somebody had to wait
	changed time.Time // when extra changed last
	missed  bool      // somebody had to wait since then

	rate   float64 // grants per second, of late
	seen   time.Time
	making float64 // seconds to make one, of late
}

const (
	rateMemory = 5 * time.Second  // how fast rate forgets
	calmAfter  = 15 * time.Second // without a miss, one less is kept ready
)

func newDemand(cfg PoolConfig) demand {
	d := demand{most: *cfg.Count, parallel: cfg.Parallel}
	if cfg.NamesOnly() {
		d.least = *cfg.Count // all of them: they cost nothing
	} else {
		d.least = min(*cfg.Warm, *cfg.Count)
	}
	return d
}

func (d *demand) reset() { d.extra, d.rate, d.missed = 0, 0, false }

// asked notes a request and whether an item was ready for it.
func (d *demand) asked(hit bool) {
	if !hit {
		d.missed = true
	}
}

// granted updates the rate, as an average that forgets exponentially.
func (d *demand) granted(now time.Time) {
	d.decay(now)
	d.rate += 1 / rateMemory.Seconds()
}

func (d *demand) decay(now time.Time) {
	if !d.seen.IsZero() {
		d.rate *= math.Exp(-now.Sub(d.seen).Seconds() / rateMemory.Seconds())
	}
	d.seen = now
}

func (d *demand) made(took time.Duration) {
	if d.making == 0 {
		d.making = took.Seconds()
	}
	d.making += (took.Seconds() - d.making) / 8
}

// target is how many should be ready.
func (d *demand) target(now time.Time) int {
	switch {
	case d.missed && now.Sub(d.changed) > time.Duration(d.making*float64(time.Second)):
		// Once for each round of making: a burst of waiters is one miss.
		d.extra = min(max(2*d.extra, d.least, 1), d.most)
		d.missed, d.changed = false, now
	case d.extra > 0 && now.Sub(d.changed) > calmAfter:
		d.extra--
		d.changed = now
	}
	d.decay(now)
	// Little's law, and half as much again for what comes in bursts.
	needed := int(math.Ceil(1.5 * d.rate * d.making))
	return min(max(d.least+d.extra, needed), d.most)
}

// calm tells that what is ready beyond the target is not needed soon.
func (d *demand) calm(now time.Time) bool { return now.Sub(d.changed) > calmAfter }

func (d *demand) lookAgain(now time.Time) time.Duration {
	if d.extra > 0 || d.missed {
		return max(calmAfter-now.Sub(d.changed), 100*time.Millisecond)
	}
	return calmAfter
}
