package reshard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire/replication"
)

// A job is a task that runs or has run.
type job struct {
	t       *Tasks
	id      int64
	kind    string
	move    *Move
	schema  *SchemaSync
	reverse bool
	// published says that the publication is of ours.
	published bool
	cut       chan *cut // asks for a cutover

	ctx  context.Context
	stop context.CancelCauseFunc
	done chan struct{}

	cleaning sync.Mutex
	cleaned  bool

	mu               sync.Mutex
	status, inner    string
	started, updated time.Time
	ended            bool
	parts            []*part
}

// A part is a step of a task.
type part struct {
	typ, status      string
	started, updated time.Time
	ended            bool
}

func (j *job) over() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended
}

// say notes what the task is doing, mark how it is.
func (j *job) say(inner string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inner, j.updated = inner, time.Now()
}

func (j *job) mark(status string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended {
		j.status, j.updated = status, time.Now()
	}
}

// finish notes how the task has ended.
func (j *job) finish(err error) {
	status := "finished"
	switch {
	case errors.Is(context.Cause(j.ctx), errStopped) || err != nil && j.ctx.Err() != nil:
		status = "cancelled"
	case err != nil:
		status = "failed: " + err.Error()
		j.t.log.Error("a task failed", "task", j.id, "type", j.typ(), "error", err)
	}
	j.mark(status)
	j.mu.Lock()
	j.ended = true
	j.mu.Unlock()
}

// typ says what the task does.
func (j *job) typ() string {
	var a, b string
	if j.move != nil {
		a, b = j.move.Source.Name, j.move.Destination.Name
	} else {
		a, b = j.schema.Source.Name, j.schema.Destination.Name
	}
	typ := fmt.Sprintf("%s %s -> %s", j.kind, a, b)
	if j.reverse {
		typ += " (reverse)"
	}
	return typ
}

// who names the task for people; one that is about to begin has no number yet.
func (j *job) who() string {
	if j.id == 0 {
		return "a task that is about to begin (" + j.typ() + ")"
	}
	return fmt.Sprintf("task %d (%s)", j.id, j.typ())
}

func (j *job) list() []Task {
	typ := j.typ()
	j.mu.Lock()
	defer j.mu.Unlock()
	out := []Task{{ID: j.id, Type: typ, Status: j.status, Inner: j.inner, Started: j.started, Updated: j.updated, Over: j.ended}}
	for _, p := range j.parts {
		out = append(out, Task{Type: p.typ, Status: p.status, Started: p.started, Updated: p.updated, Over: p.ended})
	}
	return out
}

// step runs a part of the task.
func (j *job) step(typ, inner string, run func() error) error {
	p := &part{typ: fmt.Sprintf("%s %s -> %s", typ, j.move.Source.Name, j.move.Destination.Name), status: "running", started: time.Now()}
	p.updated = p.started
	j.say(inner)
	j.mu.Lock()
	j.parts = append(j.parts, p)
	j.mu.Unlock()
	err := run()
	j.mu.Lock()
	defer j.mu.Unlock()
	p.ended, p.updated, p.status = true, time.Now(), "finished"
	switch {
	case j.ctx.Err() != nil:
		p.status = "cancelled"
	case err != nil:
		p.status = "failed"
	}
	return err
}

// run does all that a task does, one after the other.
func (j *job) run(ctx context.Context) error {
	phase := func(p Phase, inner string) error {
		return j.step(fmt.Sprintf("schema_sync(%s)", p), inner, func() error { return j.schema.Run(ctx, p) })
	}
	if j.kind != kindReplicate {
		if err := phase(Pre, "syncing schema"); err != nil {
			return err
		}
	}
	if err := j.move.Begin(ctx); err != nil {
		return err
	}
	if j.kind == kindReplicate {
		j.move.release()
	} else {
		if err := j.step(kindCopy, "syncing data", func() error { return j.move.Copy(ctx) }); err != nil {
			return j.named(err)
		}
		if err := phase(Post, "finalizing schema"); err != nil {
			return j.named(err)
		}
	}
	err := j.step(kindReplicate, "replicating", func() error { return j.follow(ctx, j.kind == kindReshard) })
	return j.named(err)
}

// named adds how a task that failed can go on.
func (j *job) named(err error) error {
	if err == nil || j.ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w (the replication slot %q stays, from which a task with its name goes on; STOP_TASK %d drops it)", err, j.move.Slot, j.id)
}

// clean drops what the task has made for itself.
func (j *job) clean(ctx context.Context) error {
	if j.move == nil {
		return nil
	}
	j.cleaning.Lock()
	defer j.cleaning.Unlock()
	if j.cleaned {
		return nil
	}
	err := j.move.Done(ctx, true)
	if j.published {
		err = errors.Join(err, unpublish(ctx, &j.move.Source, j.move.Publication))
	}
	j.cleaned = err == nil
	return err
}

// publish makes a publication of some tables on all shards of a database.
func publish(ctx context.Context, d *Database, p replication.Publication) error {
	return each(ctx, d, func(conn *replication.Conn) error {
		if err := conn.CreatePublication(ctx, p); err != nil && code(err) != "42710" {
			return fmt.Errorf("make the publication %q: %w", p.Name, err)
		}
		return nil
	})
}

// unpublish drops it.
func unpublish(ctx context.Context, d *Database, name string) error {
	return each(ctx, d, func(conn *replication.Conn) error {
		if err := conn.DropPublication(ctx, name); err != nil && code(err) != "42704" {
			return fmt.Errorf("the publication %q stays: %w", name, err)
		}
		return nil
	})
}

// each does something on all shards of a database.
func each(ctx context.Context, d *Database, run func(*replication.Conn) error) error {
	var errs []error
	for i := range d.Shards {
		conn, err := d.Shards[i].replicate(ctx)
		if err == nil {
			err = run(conn)
			_ = conn.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("shard %d of %s (%s): %w", i, d.Name, &d.Shards[i], err))
		}
	}
	return errors.Join(errs...)
}
