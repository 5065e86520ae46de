package lease

import (
	"slices"
	"time"
)

// counters are what a pool has done. The pool's mutex guards them.
type counters struct {
	grants, creates, failures, resets, reuses, gaveUp, kept int
	peak                                                    int
	waits                                                   [512]time.Duration // the last ones
	waited, waitMax                                         time.Duration
	created                                                 [64]time.Time // when the last ones were made
	creating                                                time.Duration
	resetting                                               time.Duration
}

func (c *counters) granted(wait time.Duration, lent int) {
	c.waits[c.grants%len(c.waits)] = wait
	c.grants++
	c.waited += wait
	c.waitMax = max(c.waitMax, wait)
	c.peak = max(c.peak, lent)
}

func (c *counters) made(began time.Time, took time.Duration) {
	c.created[c.creates%len(c.created)] = began.Add(took)
	c.creates++
	c.creating += took
}

func (c *counters) recycled(reuse bool, took time.Duration) {
	c.resets++
	c.resetting += took
	if reuse {
		c.reuses++
	}
}

// refillRate is how many items were made per second in the last ten seconds.
func (c *counters) refillRate(now time.Time) float64 {
	const window = 10 * time.Second
	n, oldest := 0, window
	for _, at := range c.created[:min(c.creates, len(c.created))] {
		if age := now.Sub(at); age < window {
			n++
		}
	}
	if n == len(c.created) { // more than we remember
		oldest = now.Sub(slices.MinFunc(c.created[:], time.Time.Compare))
	}
	return float64(n) / max(oldest.Seconds(), 0.001)
}

// waitQuantile returns how long the q-quantile of the last grants had to wait.
func (c *counters) waitQuantile(q float64) time.Duration {
	n := min(c.grants, len(c.waits))
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.waits[:n]))
	return sorted[min(int(q*float64(n)), n-1)]
}
