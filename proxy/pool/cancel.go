package pool

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Cancel asks the server to cancel what runs on the connection, and returns once the server
// has sent its process the signal. The connection must be held until then (Hold, Release), or
// the signal might hit the next one's query. If it cannot be told whether the signal was sent,
// the connection is broken.
func (c *Conn) Cancel(ctx context.Context) (err error) {
	if len(c.key) == 0 {
		return fmt.Errorf("cancel: %s gave no cancel key", c.Backend().Name)
	}
	nc, err := c.Backend().Dial(ctx)
	if err != nil {
		return err // nothing was sent
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	l := &login{backend: c.Backend(), nc: nc}
	if err := l.secure(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.Break("a cancel request got no answer: " + err.Error())
		}
	}()
	if err := l.send(&wire.CancelRequest{PID: c.pid, Key: c.key}); err != nil {
		return err
	}
	// The postmaster closes the connection after it has sent the signal.
	if _, err := io.Copy(io.Discard, io.LimitReader(l.nc, 1<<16)); err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
