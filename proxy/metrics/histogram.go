package metrics

import (
	"sync/atomic"
	"time"
)

// bounds are the buckets' upper bounds, from 100 µs to a minute, about 2.5 times apart.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute,
}

// A Histogram counts durations. The zero value is ready, and it is safe for concurrent use.
type Histogram struct {
	sum     atomic.Int64 // nanoseconds; beside the buckets that count most
	buckets [len(bounds) + 1]atomic.Int64
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] { // nearly all are in the first ones
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Add counts what another histogram has counted.
func (h *Histogram) Add(o *Histogram) {
	if o == nil {
		return
	}
	for i := range o.buckets {
		h.buckets[i].Add(o.buckets[i].Load())
	}
	h.sum.Add(o.sum.Load())
}

// Sum returns all durations together.
func (h *Histogram) Sum() time.Duration { return time.Duration(h.sum.Load()) }

// Count returns how many durations were counted.
func (h *Histogram) Count() int64 {
	var n int64
	for i := range h.buckets {
		n += h.buckets[i].Load()
	}
	return n
}

// Quantile estimates the duration below which a part of all of them are, from 0 to 1, within
// its bucket in proportion. Those of more than a minute count as a minute. 0: nothing was
// counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	var counts [len(bounds) + 1]int64
	var n int64
	for i := range h.buckets {
		counts[i] = h.buckets[i].Load()
		n += counts[i]
	}
	rank := q * float64(n)
	if n == 0 {
		return 0
	}
	var below int64
	for i, c := range counts {
		if c > 0 && float64(below+c) >= rank {
			if i == len(bounds) {
				break
			}
			low := time.Duration(0)
			if i > 0 {
				low = bounds[i-1]
			}
			part := max(rank-float64(below), 0) / float64(c)
			return low + time.Duration(part*float64(bounds[i]-low))
		}
		below += c
	}
	return bounds[len(bounds)-1]
}
