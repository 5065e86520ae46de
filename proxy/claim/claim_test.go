package claim_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/claim"
)

func table(sizes ...int) *claim.Table {
	t := claim.New(len(sizes))
	for i, n := range sizes {
		t.Learn(i, false, n)
		t.Learn(i, true, -1)
	}
	return t
}

// take takes without waiting.
func take(t *claim.Table, h *claim.Holder, shard int) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return t.Take(ctx, h, shard, false, 0) == nil
}

// TestTake grants what leaves a way out, and nothing else.
func TestTake(t *testing.T) {
	type step struct {
		holder, shard int
		granted       bool
	}
	for _, tt := range []struct {
		name  string
		sizes []int
		steps []step
	}{
		{"one connection each", []int{1, 1}, []step{{0, 0, true}, {1, 1, false}, {0, 1, true}, {1, 0, false}}},
		{"two each", []int{2, 2}, []step{{0, 0, true}, {1, 1, true}, {2, 0, true}, {3, 1, false}, {0, 1, true}, {1, 0, false}}},
		{"none is left", []int{1, 3}, []step{{0, 0, true}, {1, 0, false}, {1, 1, true}, {2, 1, true}}},
		{"no limit", []int{-1, -1}, []step{{0, 0, true}, {1, 1, true}, {2, 0, true}, {3, 1, true}}},
		{"not known yet", []int{0, 1}, []step{{0, 0, true}, {1, 0, true}, {0, 1, true}, {1, 1, false}}},
		{"three shards", []int{1, 1, 1}, []step{{0, 1, true}, {1, 2, false}, {1, 0, false}, {0, 2, true}, {0, 0, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := table(tt.sizes...)
			holders := make([]claim.Holder, 4)
			for i, s := range tt.steps {
				if got := take(x, &holders[s.holder], s.shard); got != s.granted {
					t.Fatalf("step %d: granted %v", i, got)
				}
			}
		})
	}
}

// TestTransactions has many sessions take connections in any order: nobody waits for long.
func TestTransactions(t *testing.T) {
	x := table(2, 3, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	used := make([]int, 3)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			var h claim.Holder
			for range 200 {
				shards := rand.Perm(3)[:1+rand.IntN(3)]
				for _, s := range shards {
					if err := x.Take(ctx, &h, s, false, 0); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if used[s]++; used[s] > []int{2, 3, 2}[s] {
						t.Errorf("%d connections to shard %d", used[s], s)
					}
					mu.Unlock()
				}
				for _, s := range shards {
					mu.Lock()
					used[s]--
					mu.Unlock()
					x.Give(&h, s, false)
				}
			}
		})
	}
	wg.Wait()
}

// TestWaiting ends by a time limit, by the caller, by what is learnt, and when those who hold
// connections are idle.
func TestWaiting(t *testing.T) {
	x := table(1, 1)
	var a, b claim.Holder
	if err := x.Take(t.Context(), &a, 0, false, 0); err != nil {
		t.Fatal(err)
	}
	if err := x.Take(t.Context(), &b, 0, false, time.Millisecond); !errors.Is(err, claim.ErrTimeout) {
		t.Errorf("%v, want a timeout", err)
	}
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := x.Take(ctx, &b, 0, false, 0); !errors.Is(err, why) {
		t.Errorf("%v, want the cause", err)
	}
	// a does nothing: b may have the other shard.
	if err := x.Take(t.Context(), &b, 1, false, time.Minute); err != nil {
		t.Error(err)
	}
	done := make(chan error, 1)
	var c claim.Holder
	go func() { done <- x.Take(t.Context(), &c, 0, false, time.Minute) }()
	x.Learn(0, false, 3)
	x.Learn(1, false, 3)
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.Note(&c, 1, false)
	for range 2 { // the second time there is nothing to give
		x.Give(&a, 0, false)
		x.Give(&b, 1, false)
		x.Give(&c, 0, false)
		x.Give(&c, 1, false)
	}
	if !take(x, &a, 0) || !take(x, &a, 1) {
		t.Error("not all has been given back")
	}
}

// BenchmarkTake is what a transaction on two shards pays.
func BenchmarkTake(b *testing.B) {
	x := table(10, 10, 10)
	var h claim.Holder
	for b.Loop() {
		_ = x.Take(b.Context(), &h, 0, false, 0)
		_ = x.Take(b.Context(), &h, 1, false, 0)
		x.Give(&h, 0, false)
		x.Give(&h, 1, false)
	}
}
