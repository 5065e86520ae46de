package pool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An answer is what who has asked was told.
type answer struct {
	c   *pool.Conn
	err error
}

// An asker passes on what a pool answers.
type asker chan answer

func (a asker) Answered(w *pool.Waiter) {
	_, c, _, err := w.Answer()
	a <- answer{c, err}
}

func ask(p *pool.Pool) (*pool.Waiter, chan answer) {
	got, w := make(chan answer, 2), &pool.Waiter{} // a second one would be a mistake
	p.Ask(w, asker(got), time.Now())
	return w, got
}

func receive(t *testing.T, got chan answer) answer {
	t.Helper()
	select {
	case a := <-got:
		return a
	case <-time.After(time.Minute):
		t.Fatal("no answer")
		return answer{}
	}
}

func TestAsk(t *testing.T) { transports(t, testAsk) }

func testAsk(t *testing.T) {
	srv := start(t, engines.Spec{})
	b := backend(srv)

	t.Run("in one order with those who wait", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, CheckoutTimeout: -1})
		c := get(t, p)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		note := func(i int, c *pool.Conn, err error) {
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			c.Release()
		}
		const n = 20
		for i := range n {
			if i%2 == 0 {
				_, got := ask(p)
				wg.Go(func() {
					a := <-got
					note(i, a.c, a.err)
				})
			} else {
				wg.Go(func() {
					c, err := p.Get(context.Background())
					note(i, c, err)
				})
			}
			eventually(t, "the next one waits", func() bool { return p.Stats().Waiting == i+1 })
		}
		c.Release()
		wg.Wait()
		for i, v := range order {
			if i != v {
				t.Fatalf("served in the order %v", order)
			}
		}
	})

	t.Run("at once", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1})
		get(t, p).Release()
		_, got := ask(p)
		a := receive(t, got)
		if a.err != nil {
			t.Fatal(a.err)
		}
		a.c.Release()
	})

	t.Run("timeout", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, CheckoutTimeout: 30 * time.Millisecond})
		eventually(t, "it is connected", func() bool {
			c, err := p.Get(t.Context())
			if err == nil {
				c.Release()
			}
			return err == nil
		})
		c := get(t, p)
		_, first := ask(p)
		_, second := ask(p)
		for _, got := range []chan answer{first, second} {
			if a := receive(t, got); code(a.err) != wire.CodeTooManyConnections {
				t.Errorf("got %v", a.err)
			}
		}
		_, third := ask(p) // the timer runs anew
		if a := receive(t, third); code(a.err) != wire.CodeTooManyConnections {
			t.Errorf("got %v", a.err)
		}
		if s := p.Stats(); s.Waiting != 0 {
			t.Errorf("%d wait", s.Waiting)
		}
		c.Release()
		get(t, p).Release()
	})

	t.Run("given up", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, CheckoutTimeout: -1})
		c := get(t, p)
		w, got := ask(p)
		_, next := ask(p)
		why := errors.New("no more")
		w.GiveUp(why)
		w.GiveUp(why)
		if a := receive(t, got); !errors.Is(a.err, why) {
			t.Errorf("got %v", a.err)
		}
		c.Release()
		a := receive(t, next)
		if a.err != nil {
			t.Fatal(a.err)
		}
		a.c.Release()
		if len(got)+len(next) > 0 {
			t.Error("somebody was answered twice")
		}
	})

	t.Run("paused and closed", func(t *testing.T) {
		p := open(t, b, pool.Config{Size: 1, CheckoutTimeout: -1})
		get(t, p).Release()
		if err := p.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, got := ask(p)
		if s := p.Stats(); s.Waiting != 1 {
			t.Errorf("%d wait", s.Waiting)
		}
		p.Resume()
		a := receive(t, got)
		if a.err != nil {
			t.Fatal(a.err)
		}
		_, left := ask(p)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		go a.c.Release()
		p.Close(ctx)
		if a := receive(t, left); a.err == nil {
			a.c.Release() // the release was faster
		} else if !errors.Is(a.err, pool.ErrClosed) {
			t.Errorf("got %v", a.err)
		}
		_, late := ask(p)
		if a := receive(t, late); !errors.Is(a.err, pool.ErrClosed) {
			t.Errorf("got %v", a.err)
		}
	})
}
