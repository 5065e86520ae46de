package pool

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Abandoned says in what state a client has left a connection.
type Abandoned struct {
	// Readies is how many ReadyForQuery are still to come.
	Readies int
	// Skip is how many bytes are to come of a message that has begun.
	Skip int
	// Sync says that the server waits for a Sync, which will bring one more ReadyForQuery.
	Sync bool
	// CopyIn says that the server waits for COPY data; it may, if it is not known.
	CopyIn bool
	// Reset says that the session's state has to go too.
	Reset bool
	// Cancel says that what runs is of no use to anybody any more.
	Cancel bool
}

var errClean = errors.New("cleaning took too long")

// Recover takes a connection that a client has left in the middle of something, ends that,
// rolls back and gives the connection to the next one; or closes it, if that takes longer than
// CleanTimeout. It returns at once.
func (c *Conn) Recover(a Abandoned) {
	if running := a.Readies > 0 || a.Skip > 0 || a.Sync || a.CopyIn; c.pool.cfg.Recovery == Drop && (running || c.Status != wire.TxIdle) ||
		c.pool.cfg.Recovery == RollbackOnly && running {
		c.Spoil("its client is gone in the middle of something")
		c.pool.cleaned.Add(1)
		c.Release()
		return
	}
	d := c.Direct()
	d.skip = a.Skip
	if !c.pool.work(func() { c.recover(d, a) }) {
		d.Close()
		c.Break("the pool is closed")
		c.Release()
	}
}

func (c *Conn) recover(d *Direct, a Abandoned) {
	ctx, cancel := context.WithTimeoutCause(c.pool.ctx, c.pool.cfg.CleanTimeout, errClean)
	defer cancel()
	err := c.tidy(ctx, d, a)
	d.Close()
	if err == nil && (a.Readies > 0 || a.Skip > 0 || a.Sync || a.CopyIn) {
		c.pool.resynced.Add(1)
	}
	if err != nil {
		if !c.Broken() && errors.Is(context.Cause(ctx), errClean) {
			// Do not let it go on for nobody.
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = c.Cancel(ctx)
			cancel()
		}
		c.Spoil("clean the connection: " + err.Error())
	}
	c.pool.cleaned.Add(1)
	c.Release()
}

func (c *Conn) tidy(ctx context.Context, d *Direct, a Abandoned) error {
	var out []byte
	if a.CopyIn {
		// Outside of a COPY the server ignores it.
		out, _ = wire.Append(out, &wire.CopyFail{Message: "the client is gone"})
	}
	if a.Sync {
		out, _ = wire.Append(out, &wire.Sync{})
		a.Readies++
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.nc.SetWriteDeadline(deadline)
		defer func() { _ = c.nc.SetWriteDeadline(time.Time{}) }()
	}
	// The server may have to write before it reads.
	var sending sync.WaitGroup
	defer sending.Wait()
	if len(out) > 0 {
		sending.Go(func() { _ = d.Send(out) }) // an error breaks the connection, which ends what follows
	}
	for a.Readies > 0 {
		typ, err := c.next(ctx, d, a.Cancel)
		if err != nil {
			return err
		}
		switch typ {
		case wire.TypeReadyForQuery:
			a.Readies--
		case wire.TypeCopyInResponse:
			// It came to the COPY only now.
			fail, _ := wire.Append(nil, &wire.CopyFail{Message: "the client is gone"})
			if err := d.Send(fail); err != nil {
				return err
			}
		case wire.TypeCopyBothResponse:
			return errors.New("the connection is in replication")
		}
	}
	if c.Status != wire.TxIdle {
		if _, err := d.Exec(ctx, "ROLLBACK"); err != nil {
			return err
		}
		c.pool.rollbacks.Add(1)
		c.Tally.Rollbacks.Add(1)
	}
	if a.Reset {
		return c.reset(ctx, d)
	}
	return nil
}

// cancelAgain is how long a query has to end after a request to cancel it. One that the server
// had not begun when the request came is not cancelled by it.
const cancelAgain = 100 * time.Millisecond

// next receives a message, and cancels what runs until one comes.
func (c *Conn) next(ctx context.Context, d *Direct, cancel bool) (wire.Type, error) {
	if !cancel {
		typ, _, err := d.Receive(ctx)
		return typ, err
	}
	for wait := cancelAgain; ; wait *= 2 {
		if err := c.Cancel(ctx); err != nil && c.Broken() {
			return 0, err
		}
		step, stop := context.WithTimeout(ctx, wait)
		typ, _, err := d.Receive(step)
		stop()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return typ, err
		}
	}
}

const discardAll = "DISCARD ALL"

// ResetsAlways says that whoever gives a connection back after a transaction is to do so by
// Recover, with Reset.
func (p *Pool) ResetsAlways() bool { return p.cfg.ResetAlways }

// reset takes the session back to its start.
func (c *Conn) reset(ctx context.Context, d *Direct) error {
	own := c.pool.cfg.ResetQuery
	queries := []string{discardAll}
	if own != "" && !strings.EqualFold(strings.Trim(own, "; \t\n"), discardAll) {
		queries = []string{own, "DEALLOCATE ALL"}
	}
	for _, sql := range queries {
		if _, err := d.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if c.Status != wire.TxIdle {
		return errors.New("server_reset_query leaves a transaction open")
	}
	c.Statements.Clear()
	c.Have, c.Unknown, c.Unnamed = setting.Set{}, len(queries) > 1, 0
	return nil
}
