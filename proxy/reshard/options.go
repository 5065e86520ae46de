package reshard

import (
	"cmp"
	"context"
	"time"
)

// Options say how data are moved. Zero fields mean the default.
type Options struct {
	// Text copies rows in COPY's text format. Default: binary, which servers of different major versions
	// may not agree on.
	Text bool
	// Parallel is how many tables are copied at once from each source shard. Default: 1.
	Parallel int
	// CopyAttempts is how often a table's copy is tried; CopyDelay the first pause between these, doubled
	// each time up to 32-fold. Default: 5, 1 s.
	CopyAttempts int
	CopyDelay    time.Duration
	// StreamAttempts is how often in a row following the changes is tried; 0 is without end. StreamDelay is
	// the pause. Default: 5 (set by [DefaultOptions]), 1 s.
	StreamAttempts int
	StreamDelay    time.Duration
	// Batch is how many changes are sent to a shard at once. Default: 1000.
	Batch int
}

// DefaultOptions are PgDog's.
func DefaultOptions() Options { return Options{StreamAttempts: 5}.filled() }

func (o Options) filled() Options {
	o.Parallel, o.CopyAttempts, o.CopyDelay = cmp.Or(o.Parallel, 1), cmp.Or(o.CopyAttempts, 5), cmp.Or(o.CopyDelay, time.Second)
	o.StreamDelay, o.Batch = cmp.Or(o.StreamDelay, time.Second), cmp.Or(o.Batch, 1000)
	return o
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
