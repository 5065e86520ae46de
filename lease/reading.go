package lease

import "sync/atomic"

// A reading is what a source said its version was. A source is asked without the pool's
// mutex, as it may have to look at files, so that an early answer may come to the mutex
// after a late one, and must not bring back what is out of date.
type reading struct {
	nth     uint64
	version string
}

// readings numbers the readings of a pool's source.
type readings struct {
	next   atomic.Uint64
	latest reading // guarded by the pool's mutex
}

// readVersion asks the source for its version.
func (p *Pool) readVersion() reading {
	v, ok := p.src.(Versioned)
	if !ok {
		return reading{}
	}
	nth := p.readings.next.Add(1) // before it is asked: what a later one hears was so after an earlier one asked
	return reading{nth, v.Version()}
}

// newest returns the version that was read last, by r or before. p.mu is held.
func (p *Pool) newest(r reading) string {
	if r.nth > p.readings.latest.nth {
		p.readings.latest = r
	}
	return p.readings.latest.version
}
