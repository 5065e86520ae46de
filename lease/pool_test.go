package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// A fakeSource counts what it is asked for, and fails while told to.
type fakeSource struct {
	mu                         sync.Mutex
	fail                       error
	takes                      time.Duration
	made, gone, closed, reused int
	alive                      map[string]bool
	reuse                      bool
	version                    string
}

func (s *fakeSource) Create(context.Context) (*lease.Item, error) {
	<-time.After(s.takes) // in a synctest bubble
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	it := &lease.Item{Name: "f_" + strconv.Itoa(s.made), Version: s.version}
	s.made++
	s.alive[it.Name] = true
	return it, nil
}

func (s *fakeSource) Recycle(ctx context.Context, it *lease.Item, _ lease.Use) (*lease.Item, error) {
	s.mu.Lock()
	if s.reuse {
		s.reused++
		s.mu.Unlock()
		return it, nil
	}
	s.mu.Unlock()
	return nil, s.Destroy(ctx, it)
}

func (s *fakeSource) Destroy(_ context.Context, it *lease.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alive[it.Name] {
		return fmt.Errorf("%s is destroyed twice", it.Name)
	}
	delete(s.alive, it.Name)
	s.gone++
	return nil
}

func (s *fakeSource) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func (s *fakeSource) Version() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

func (s *fakeSource) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *fakeSource) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.alive)
}

func fakePool(t *testing.T, s *fakeSource, change func(*lease.PoolConfig)) *lease.Pool {
	t.Helper()
	s.alive = map[string]bool{}
	cfg := lease.PoolConfig{Count: new(8), Warm: new(2), Parallel: 2}
	if change != nil {
		change(&cfg)
	}
	p := lease.NewPool(cfg, s, nil)
	p.Start()
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := s.left(); n != 0 {
			t.Errorf("%d items are left after Close", n)
		}
	})
	return p
}

// TestRefillHeals has the disk full for a while: who waits goes on waiting.
func TestRefillHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{fail: errors.New("could not extend file: No space left on device (SQLSTATE 53100)"), takes: 10 * time.Millisecond}
		p := fakePool(t, s, nil)
		requests := make([]*lease.Request, 5)
		for i := range requests {
			requests[i] = p.Request(lease.Holder{Label: strconv.Itoa(i)})
		}
		<-time.After(20 * time.Second)
		if st := p.Status(); len(st.Waiting) != 5 || st.Error == "" || st.Failures < 4 || st.Failures > 40 {
			t.Errorf("while the disk is full: %d wait, %d failures, %q", len(st.Waiting), st.Failures, st.Error)
		}
		s.set(func() { s.fail = nil })
		<-time.After(6 * time.Second) // the longest pause between two tries
		for i, r := range requests {
			select {
			case <-r.Done():
			default:
				t.Fatalf("request %d still waits", i)
			}
			l, err := r.Lease()
			if err != nil || l.Item.Name != "f_"+strconv.Itoa(i) {
				t.Errorf("request %d got %v, %v: not in order", i, l, err)
			}
			l.Release()
		}
		if st := p.Status(); st.Error != "" {
			t.Errorf("healed, the status says %q", st.Error)
		}
	})
}

// TestHopeless refuses at once, and tries again for who comes later.
func TestHopeless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{fail: fmt.Errorf("1.sql:3: oh no (%w)", lease.ErrHopeless), takes: time.Millisecond}
		p := fakePool(t, s, nil)
		var refused *lease.RefusedError
		if _, err := p.Acquire(t.Context(), lease.Holder{}); !errors.As(err, &refused) {
			t.Fatalf("acquire: %v", err)
		}
		s.set(func() { s.fail = nil })
		if _, err := p.Acquire(t.Context(), lease.Holder{}); !errors.As(err, &refused) {
			t.Errorf("within a second: %v", err)
		}
		<-time.After(2 * time.Second)
		l, err := p.Acquire(t.Context(), lease.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
	})
}

// TestIdle drops everything when nothing was wanted for long, and comes back.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{takes: time.Millisecond}
		p := fakePool(t, s, nil)
		l, err := p.Acquire(t.Context(), lease.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		if st := p.Status(); st.Asleep || st.Ready < 2 {
			t.Errorf("asleep while somebody holds a lease: %+v", st)
		}
		l.Release()
		<-time.After(lease.DefaultIdle + time.Minute)
		if st := p.Status(); !st.Asleep || st.Ready != 0 || s.left() != 0 || s.closed != 1 {
			t.Errorf("after a long time: %d left, closed %d times, %+v", s.left(), s.closed, st)
		}
		if l, err = p.Acquire(t.Context(), lease.Holder{}); err != nil {
			t.Fatal(err)
		}
		l.Release()
	})
}

// TestIdleKept drops what is ready when nothing was wanted for long, but not the server of
// what was kept.
func TestIdleKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{takes: time.Millisecond}
		p := fakePool(t, s, nil)
		l, err := p.Acquire(t.Context(), lease.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		l.Keep("to look at")
		l.Release()
		<-time.After(lease.DefaultIdle + time.Minute)
		if st := p.Status(); !st.Asleep || st.Ready != 0 || st.Kept != 1 || s.left() != 1 || s.closed != 0 {
			t.Errorf("after a long time: %d left, closed %d times, %+v", s.left(), s.closed, st)
		}
		next, err := p.Acquire(t.Context(), lease.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		next.Release()
		s.set(func() { delete(s.alive, l.Item.Name) })
	})
}

// TestDemand makes more when many ask, within the bound, and fewer again afterwards.
func TestDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{takes: 20 * time.Millisecond}
		p := fakePool(t, s, nil)
		<-time.After(time.Second)
		if st := p.Status(); st.Ready != 2 {
			t.Errorf("%d are ready, not 2", st.Ready)
		}
		for range 20 {
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					l, err := p.Acquire(t.Context(), lease.Holder{})
					if err != nil {
						t.Error(err)
						return
					}
					<-time.After(100 * time.Millisecond)
					l.Release()
				})
			}
			wg.Wait()
			<-time.After(time.Second)
			if n := s.left(); n > 8 {
				t.Fatalf("%d items, the bound is 8", n)
			}
		}
		if st := p.Status(); st.Ready < 6 {
			t.Errorf("after bursts of 6, %d are ready", st.Ready)
		}
		<-time.After(4 * time.Minute)
		if st := p.Status(); st.Ready != 2 {
			t.Errorf("after calm minutes, %d are ready", st.Ready)
		}
	})
}

// TestOutOfDate does not lend what is of an old version.
func TestOutOfDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSource{takes: time.Millisecond, reuse: true, version: "1"}
		p := fakePool(t, s, nil)
		l, err := p.Acquire(t.Context(), lease.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		s.set(func() { s.version = "2" })
		next, err := p.Acquire(t.Context(), lease.Holder{})
		if err != nil || next.Item.Version != "2" {
			t.Errorf("got %+v, %v", next, err)
		}
		l.Release() // recycled by the source as version 1, and not lent again
		for range 5 {
			l, err := p.Acquire(t.Context(), lease.Holder{})
			if err != nil || l.Item.Version != "2" {
				t.Errorf("got %+v, %v", l, err)
			}
			l.Release()
		}
		next.Release()
		next.Release()
	})
}
