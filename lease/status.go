package lease

import (
	"cmp"
	"slices"
	"time"
)

// Status is what a server is at. It is what "lease status --json" prints.
type Status struct {
	PID   int          `json:"pid"`
	Since time.Time    `json:"since"`
	Pools []PoolStatus `json:"pools"`
}

// PoolStatus is what one pool is at. Times are in seconds.
type PoolStatus struct {
	Name     string  `json:"name"`
	Source   string  `json:"source"`
	Socket   string  `json:"socket,omitempty"`
	Listen   string  `json:"listen,omitempty"` // the URL of the listening address
	Reset    string  `json:"reset"`
	Count    int     `json:"count"`
	Ready    int     `json:"ready"`
	Target   int     `json:"target"` // how many should be ready
	Making   int     `json:"making"`
	Cleaning int     `json:"cleaning"`
	Kept     int     `json:"kept"`
	Asleep   bool    `json:"asleep,omitempty"` // idle: everything was dropped
	Draining bool    `json:"draining,omitempty"`
	Grants   int     `json:"grants"`
	Peak     int     `json:"peak"` // most leases at once
	Created  int     `json:"created"`
	Reused   int     `json:"reused"`
	Failures int     `json:"failures"`
	GaveUp   int     `json:"gave_up"` // requests that ended before a grant
	WaitP50  float64 `json:"wait_p50"`
	WaitP99  float64 `json:"wait_p99"`
	WaitMax  float64 `json:"wait_max"`
	WaitSum  float64 `json:"wait_sum"`
	MakeMean float64 `json:"make_mean"`
	Refill   float64 `json:"refill"` // made per second, in the last ten
	Error    string  `json:"error,omitempty"`

	Leases  []LeaseStatus `json:"leases"`
	Waiting []WaitStatus  `json:"waiting"`
}

// LeaseStatus is one lease.
type LeaseStatus struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	URL   string    `json:"-"` // may hold a password
	Since time.Time `json:"since"`
	Holder
	Expires *time.Time `json:"expires,omitempty"`
	Keep    bool       `json:"keep,omitempty"`
}

// WaitStatus is one request that waits.
type WaitStatus struct {
	Since time.Time `json:"since"`
	Holder
}

// Status says what the pool is at, its oldest leases and requests first.
func (p *Pool) Status() PoolStatus {
	st := p.status(time.Now())
	for i := range st.Leases {
		st.Leases[i].name()
	}
	for i := range st.Waiting {
		st.Waiting[i].name()
	}
	return st
}

// name finds out what a holder in another process runs.
func (h *Holder) name() {
	if h.PID != 0 && h.Command == "" {
		h.Command = commandOf(h.PID)
	}
}

func (p *Pool) status(now time.Time) PoolStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.stats
	st := PoolStatus{
		Name: p.cfg.Name, Reset: p.cfg.Reset, Count: *p.cfg.Count,
		Ready: p.ready.len(), Target: p.demand.target(now), Making: p.making, Cleaning: p.recycle, Kept: c.kept,
		Asleep: p.asleep, Draining: p.closing,
		Grants: c.grants, Peak: c.peak, Created: c.creates, Reused: c.reuses, Failures: c.failures, GaveUp: c.gaveUp,
		WaitP50: c.waitQuantile(0.5).Seconds(), WaitP99: c.waitQuantile(0.99).Seconds(),
		WaitMax: c.waitMax.Seconds(), WaitSum: c.waited.Seconds(), Refill: c.refillRate(now),
		Leases: []LeaseStatus{}, Waiting: []WaitStatus{},
	}
	if d, ok := p.src.(Describer); ok {
		st.Source = d.Describe()
	}
	if c.creates > 0 {
		st.MakeMean = c.creating.Seconds() / float64(c.creates)
	}
	if p.fail.err != nil {
		st.Error = oneLine(p.fail.err.Error())
	}
	for _, l := range p.leases {
		ls := LeaseStatus{ID: l.ID, Name: l.Item.Name, URL: l.Item.URL, Since: l.since, Holder: l.holder, Keep: l.keep}
		if !l.expiry.IsZero() {
			ls.Expires = &l.expiry
		}
		st.Leases = append(st.Leases, ls)
	}
	slices.SortFunc(st.Leases, func(a, b LeaseStatus) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	p.waiting.each(func(r *Request) {
		if !r.settled {
			st.Waiting = append(st.Waiting, WaitStatus{Since: r.since, Holder: r.holder})
		}
	})
	return st
}
