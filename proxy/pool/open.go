package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// grow opens connections for those who wait, as far as there is room; extra is room beyond
// Size.
func (p *Pool) grow(extra int) {
	if p.closed || p.paused {
		return
	}
	want := p.waiting
	if p.used && p.cfg.Min > 0 {
		want = max(want, p.cfg.Min-len(p.all))
	}
	for p.dialing < want && len(p.all)+p.dialing < p.cfg.Size+extra && p.room() {
		p.dialing++
		p.wg.Go(p.open)
	}
}

// open opens one connection and gives it to who waits longest.
func (p *Pool) open() {
	c, err := p.connect()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	p.lastErr = err
	if err != nil {
		p.giveRoom()
		p.errors.Add(1)
		p.settle()
		if p.closed {
			return
		}
		p.log.Warn("connect to a server", "error", err)
		if w := p.first; w != nil {
			p.dequeue(w)
			p.tell(w, result{err: connectError(p.backend.Name, err)}, time.Now())
		}
		p.schedule()
		return
	}
	p.all[c] = struct{}{}
	if p.closed {
		p.forget(c, "the pool is closed")
		return
	}
	if w := p.first; w != nil && !p.paused {
		p.dequeue(w)
		p.lend(c)
		p.tell(w, result{conn: c}, time.Now())
		return
	}
	c.idleSince, c.resting = time.Now(), true
	p.idle = append(p.idle, c)
	p.schedule()
}

func (p *Pool) connect() (c *Conn, err error) {
	for attempt := range p.cfg.ConnectAttempts {
		if attempt > 0 && p.cfg.ConnectDelay > 0 {
			select {
			case <-time.After(p.cfg.ConnectDelay):
			case <-p.ctx.Done():
				return nil, ErrClosed
			}
		}
		if c, err = p.connectOnce(); err == nil || p.ctx.Err() != nil {
			return c, err
		}
	}
	return nil, err
}

func (p *Pool) connectOnce() (*Conn, error) {
	ctx, cancel := p.ctx, func() {}
	if d := p.cfg.ConnectTimeout; d > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, d, errors.New("it took longer than connect_timeout"))
	}
	defer cancel()
	p.mu.Lock()
	wave := p.wave
	p.mu.Unlock()
	start := time.Now()
	nc, key, reported, rest, err := Open(ctx, p.backend, nil)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	p.connects.Add(1)
	p.connectTime.Add(int64(now.Sub(start)))
	c := &Conn{
		pool: p, nc: nc, pid: key.PID, key: key.Key, Status: wire.TxIdle, Reported: reported,
		born: now, checked: now, wave: wave, Statements: Statements{ttl: p.cfg.StatementTTL, jitter: p.cfg.StatementJitter},
	}
	c.Statements.count = &c.Tally.Prepared
	if d := p.cfg.Lifetime; d > 0 {
		if j := int64(p.cfg.LifetimeJitter); j > 0 {
			d += time.Duration(rand.Int64N(2*j+1) - j)
		}
		c.expires = now.Add(d)
	}
	p.drive(c, rest)
	if sql := p.cfg.ConnectQuery; sql != "" {
		d := c.Direct()
		_, err := d.Exec(ctx, sql)
		d.Close()
		if err == nil && c.Status != wire.TxIdle {
			err = errors.New("it leaves a transaction open")
		}
		if err != nil {
			c.Break("connect_query: " + err.Error())
			return nil, fmt.Errorf("connect_query: %w", err)
		}
	}
	return c, nil
}

// Context ends when the pool is closed and has no connections.
func (p *Pool) Context() context.Context { return p.ctx }

// work runs f in the background, unless the pool is closed.
func (p *Pool) work(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Go(f)
	return true
}
