package reshard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire/replication"
)

// A cut asks for a cutover.
type cut struct{ answer chan error }

// ErrTimeout reports that clients would have been held for too long.
var ErrTimeout = errors.New("the cutover has taken longer than cutover_timeout, and was given up")

// Cutover gives the clients of a task's source the destination's servers, and returns when they have them.
// Without a number it is the first task that follows changes. An error says why they still have the old
// ones; the task goes on then.
func (t *Tasks) Cutover(ctx context.Context, id int64) error {
	j, err := t.find(id, func(j *job) bool { return j.cut != nil && !j.over() })
	if err != nil {
		return err
	}
	if j.cut == nil {
		return fmt.Errorf("task %d follows no changes: there is nothing to cut over to", j.id)
	}
	c := &cut{answer: make(chan error, 1)}
	select {
	case j.cut <- c:
	case <-j.done:
		return fmt.Errorf("task %d is over", j.id)
	case <-ctx.Done():
		return fmt.Errorf("task %d does not follow changes yet: %w", j.id, context.Cause(ctx))
	}
	// It is not given up in the middle because nobody waits for the answer any more.
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A following is a stream that runs.
type following struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// end ends it.
func (f *following) end() error {
	f.cancel()
	<-f.done
	return f.err
}

// follow applies changes until the task is stopped or clients have been given the destination.
func (j *job) follow(ctx context.Context, self bool) error {
	for {
		own, cancel := context.WithCancel(ctx)
		f := &following{cancel: cancel, done: make(chan struct{})}
		go func() {
			defer close(f.done)
			f.err = j.move.Stream(own)
		}()
		if self {
			self = false
			err := j.cutover(ctx, f)
			if err == nil || ctx.Err() != nil {
				return errors.Join(err, f.end())
			}
			j.t.log.Error("clients keep the old servers; CUTOVER tries again", "task", j.id, "error", err)
			j.say("replicating; the cutover was given up: " + err.Error())
		}
		again := false
		for !again {
			select {
			case <-f.done:
				if ctx.Err() != nil || f.err != nil {
					cancel()
					return f.err
				}
				again = true
			case c := <-j.cut:
				err := j.cutover(ctx, f)
				c.answer <- err
				if err == nil {
					return f.end()
				}
				if ctx.Err() == nil {
					j.say("replicating; the cutover was given up: " + err.Error())
				}
			case <-ctx.Done():
				return f.end()
			}
		}
		cancel()
	}
}

// cutover gives clients the destination. After an error they have what they had.
func (j *job) cutover(ctx context.Context, f *following) error {
	if j.reverse {
		j.say("rolling back")
	} else {
		j.say("cutting over")
	}
	m, host := j.move, j.t.host
	if err := j.configured(); err != nil {
		return err
	}
	back, err := j.back(ctx)
	if err != nil {
		return err
	}
	gone := func(err error) error {
		e := errors.Join(back.clean(context.WithoutCancel(ctx)))
		return errors.Join(err, e)
	}
	if err := j.near(ctx, f); err != nil {
		return gone(err)
	}
	if err := j.schema.Validate(ctx); err != nil {
		return gone(err)
	}
	if err := j.schema.Refresh(ctx); err != nil {
		return gone(err)
	}
	set := host.Settings()
	a, b := m.Source.Name, m.Destination.Name
	held, done := ctx, func() {}
	if set.Timeout > 0 {
		held, done = context.WithTimeoutCause(ctx, set.Timeout, ErrTimeout)
	}
	defer done()
	began := time.Now()
	if err := host.Hold(held, a, b); err != nil {
		return gone(fmt.Errorf("hold the clients of %s: %w", a, err))
	}
	defer host.Release(a, b)
	if err := j.drain(held, f, &set); err != nil {
		if !set.Force || !errors.Is(err, ErrTimeout) {
			return gone(err)
		}
		j.t.log.Error("clients get the new servers although changes are lacking there, since cutover_timeout_action says so", "task", j.id, "bytes", j.lacking(ctx))
		held = ctx
	}
	if err := j.schema.Run(held, Cutover); err != nil {
		return gone(err)
	}
	// Nobody writes: what the new servers have from here on is what clients write there. After an error the
	// stream begins again.
	if err := f.end(); err != nil {
		return gone(err)
	}
	if err := back.move.dropStale(held); err != nil {
		return gone(err)
	}
	if err := back.move.Begin(held); err != nil {
		return gone(err)
	}
	back.move.release()
	if err := host.Exchange(a, b, j.configured); err != nil {
		return gone(err)
	}
	j.t.log.Info("clients have the new servers", "database", a, "held", time.Since(began).Round(time.Millisecond))
	host.Release(a, b)
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := j.clean(over); err != nil {
		j.t.log.Warn("something stays of a move that is over", "error", err)
	}
	j.t.start(back, func(ctx context.Context) error {
		back.say("replicating")
		return back.named(back.follow(ctx, false))
	})
	return nil
}

// configured refuses to give clients what the configuration has by now, if that is not where the rows are.
func (j *job) configured() error {
	src, dst, err := j.t.pair(j.move.Source.Name, j.move.Destination.Name)
	if err != nil {
		return err
	}
	for _, d := range [][2]*Database{{&j.move.Source, &src}, {&j.move.Destination, &dst}} {
		if !d[0].same(d[1]) {
			return fmt.Errorf("the configuration has other servers for the database %q, or divides it in another way, than when task %d began: put back what was, or STOP_TASK %d and begin again", d[0].Name, j.id, j.id)
		}
	}
	return nil
}

// back prepares what follows the changes of the destination once clients have it.
func (j *job) back(ctx context.Context) (*job, error) {
	m := j.move
	src := Database{Name: m.Source.Name, Shards: m.Destination.Shards, Layout: m.Destination.Layout}
	dst := Database{Name: m.Destination.Name, Shards: m.Source.Shards, Layout: m.Source.Layout}
	slot, ok := strings.CutSuffix(m.Slot, "_reverse")
	if !ok {
		slot += "_reverse"
	}
	out := &job{t: j.t, kind: kindReplicate, reverse: !j.reverse, published: true, cut: make(chan *cut)}
	out.move = &Move{Source: src, Destination: dst, Publication: slot, Slot: slot, Options: m.Options, Log: m.Log}
	out.schema = &SchemaSync{Source: src, Destination: dst, PgDump: j.schema.PgDump, Log: m.Log}
	tables, err := m.plan(ctx, true)
	if err != nil {
		return nil, err
	}
	p := replication.Publication{Name: slot}
	for _, t := range distinct(tables) {
		p.Tables = append(p.Tables, replication.TableName{Schema: t.schema, Name: t.name.table})
		p.ViaRoot = p.ViaRoot || t.partitioned
	}
	// One of an earlier attempt may have other tables.
	if err := unpublish(ctx, &src, slot); err != nil {
		return nil, err
	}
	err = publish(ctx, &src, p)
	if err == nil {
		err = out.move.Check(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the way back: %w", err), unpublish(context.WithoutCancel(ctx), &src, slot))
	}
	return out, nil
}

// poll is how often a wait looks.
const poll = 20 * time.Millisecond

// near waits until the destination is so close that clients need not be held for long.
func (j *job) near(ctx context.Context, f *following) error {
	for {
		ends, err := j.move.Ends(ctx)
		if err != nil {
			return err
		}
		if j.move.Passed(ends) <= j.t.host.Settings().StopLag {
			return nil
		}
		if err := j.wait(ctx, f, 10*poll); err != nil {
			return err
		}
	}
}

// drain waits until all that clients had written is applied.
func (j *job) drain(ctx context.Context, f *following, set *Settings) error {
	for {
		prepared, err := j.move.prepared(ctx)
		if err != nil {
			return err
		}
		if prepared == "" {
			break
		}
		if err := j.wait(ctx, f, 5*poll); err != nil {
			return fmt.Errorf("the prepared transaction %q is neither committed nor rolled back: %w", prepared, err)
		}
	}
	ends, err := j.move.Ends(ctx)
	if err != nil {
		return err
	}
	for {
		lacking := j.move.Passed(ends)
		quiet := !slices.ContainsFunc(j.move.Slots(), func(s Slot) bool { return time.Since(s.Last) < set.Quiet })
		if lacking == 0 || lacking <= set.SwapLag && quiet {
			return nil
		}
		if err := j.wait(ctx, f, poll); err != nil {
			return fmt.Errorf("%d bytes of changes are lacking: %w", lacking, err)
		}
	}
}

// lacking is how much the destination is behind.
func (j *job) lacking(ctx context.Context) int64 {
	ends, err := j.move.Ends(ctx)
	if err != nil {
		return -1
	}
	return j.move.Passed(ends)
}

// wait waits, unless the stream or ctx ends.
func (j *job) wait(ctx context.Context, f *following, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-f.done:
		return fmt.Errorf("the changes are not followed any more: %w", orStopped(f.err))
	}
}

func orStopped(err error) error {
	if err == nil {
		return errStopped
	}
	return err
}
