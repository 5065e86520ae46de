package journal

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Deduper counts equal records instead of writing each: those of the same level and message,
// whatever their attributes. It is safe for concurrent use.
type Deduper struct {
	window    time.Duration
	threshold int

	mu    sync.Mutex
	seen  map[line]*repeats
	ended bool
}

type line struct {
	level   slog.Level
	message string
}

// A repeats is what has come of one line since it was first written.
type repeats struct {
	n, left int // in all; not written
	timer   *time.Timer
	handler slog.Handler // of the last one
}

// maxLines bounds how many lines are counted at a time; others are written.
const maxLines = 1000

// NewDeduper makes a Deduper: within a window, which begins with a line that is written, up to
// threshold equal ones are written, but at least that one. When the window ends, a line says how
// many were not.
func NewDeduper(window time.Duration, threshold int) *Deduper {
	return &Deduper{window: window, threshold: max(threshold, 1), seen: map[line]*repeats{}}
}

// Handler returns a handler before h.
func (d *Deduper) Handler(h slog.Handler) slog.Handler { return &deduping{h, d} }

// Close writes what has been counted. From then on every record is written.
func (d *Deduper) Close() {
	d.mu.Lock()
	d.ended = true
	seen := d.seen
	d.seen = map[line]*repeats{}
	d.mu.Unlock()
	for l, r := range seen {
		r.timer.Stop()
		d.tell(l, r)
	}
}

// admit counts a record and reports whether it is to be written.
func (d *Deduper) admit(l line, h slog.Handler) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.seen[l]
	switch {
	case d.ended, r == nil && len(d.seen) >= maxLines:
		return true
	case r == nil:
		r = &repeats{}
		d.seen[l] = r
		r.timer = time.AfterFunc(d.window, func() { d.expire(l, r) })
	}
	r.handler = h
	if r.n++; r.n > d.threshold {
		r.left++
		return false
	}
	return true
}

// expire ends a window.
func (d *Deduper) expire(l line, r *repeats) {
	d.mu.Lock()
	mine := d.seen[l] == r
	if mine {
		delete(d.seen, l)
	}
	d.mu.Unlock()
	if mine {
		d.tell(l, r)
	}
}

// tell says how many records were not written. Nobody counts in r any more.
func (d *Deduper) tell(l line, r *repeats) {
	if r.left == 0 {
		return
	}
	rec := slog.NewRecord(time.Now(), l.level, l.message, 0)
	rec.AddAttrs(slog.Int("repeated", r.left), slog.Duration("within", d.window))
	_ = r.handler.Handle(context.Background(), rec) // a log that cannot be written has nobody to tell
}

type deduping struct {
	slog.Handler
	d *Deduper
}

// Handle implements slog.Handler.
func (h *deduping) Handle(ctx context.Context, r slog.Record) error {
	if !h.d.admit(line{r.Level, r.Message}, h.Handler) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *deduping) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &deduping{h.Handler.WithAttrs(attrs), h.d}
}

// WithGroup implements slog.Handler.
func (h *deduping) WithGroup(name string) slog.Handler {
	return &deduping{h.Handler.WithGroup(name), h.d}
}
