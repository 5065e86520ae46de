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
	t := claim.New(len(sizes), nil)
	for i, n := range sizes {
		t.Learn(i, false, "primary", n)
		t.Learn(i, true, "replica", -1)
	}
	return t
}

// take takes without waiting.
func take(t *claim.Table, h *claim.Holder, shard int) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := t.Take(ctx, h, shard, false, 0)
	t.Got(h)
	return err == nil
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
					x.Give(&h, s)
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
	x.Got(&a)
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
	x.Learn(0, false, "primary", 3)
	x.Learn(1, false, "primary", 3)
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.Note(&c, 1, false)
	for range 2 { // the second time there is nothing to give
		x.Give(&a, 0)
		x.Give(&b, 1)
		x.Give(&c, 0)
		x.Give(&c, 1)
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
		x.Give(&h, 0)
		x.Give(&h, 1)
	}
}

// A limitTo is a limit.
type limitTo struct{ n int }

func (l *limitTo) Max() int       { return l.n }
func (l *limitTo) String() string { return "limit" }

// TestLimits grants what leaves a way out where limits are shared, by the places of a table and by
// tables.
func TestLimits(t *testing.T) {
	type step struct {
		table, holder, shard int
		granted              bool
	}
	for _, tt := range []struct {
		name         string
		shards       int
		whole, shard int // limits of all places together, and of each shard in all tables
		steps        []step
	}{
		{"as many in all as there are shards", 3, 3, 0, []step{{0, 0, 0, true}, {0, 1, 1, false}, {0, 0, 1, true}, {0, 1, 2, false}, {0, 0, 2, true}}},
		{"one more", 3, 4, 0, []step{{0, 0, 0, true}, {0, 1, 1, true}, {0, 1, 2, true}, {0, 0, 1, false}, {1, 2, 0, false}, {0, 1, 0, true}, {0, 0, 1, false}}},
		{"fewer than there are shards", 3, 2, 0, []step{{0, 0, 0, true}, {0, 1, 1, false}, {0, 0, 1, true}, {0, 1, 2, false}}},
		{"one to each shard for all tables", 2, 0, 1, []step{{0, 0, 0, true}, {1, 1, 1, false}, {0, 0, 1, true}, {1, 1, 0, false}}},
		{"two to each shard for all tables", 2, 0, 2, []step{{0, 0, 0, true}, {1, 1, 1, true}, {0, 2, 1, true}, {1, 3, 0, false}, {1, 1, 0, true}, {0, 0, 1, false}}},
		{"no limit", 2, 0, 0, []step{{0, 0, 0, true}, {1, 1, 1, true}, {0, 2, 0, true}, {1, 3, 1, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bank := claim.NewBank()
			whole := &limitTo{tt.whole}
			var tables [2]*claim.Table
			for i := range tables {
				tables[i] = claim.New(tt.shards, bank)
			}
			for s := range tt.shards {
				one := &limitTo{tt.shard}
				for _, x := range tables {
					x.Learn(s, false, "primary", 10, whole, one)
					x.Learn(s, true, "replica", -1, whole)
				}
			}
			holders := make([]claim.Holder, 4)
			for i, s := range tt.steps {
				if got := take(tables[s.table], &holders[s.holder], s.shard); got != s.granted {
					t.Fatalf("step %d: granted %v", i, got)
				}
			}
		})
	}
}

// TestNever refuses at once what waiting would not help.
func TestNever(t *testing.T) {
	x, l := claim.New(3, nil), &limitTo{2}
	for s := range 3 {
		x.Learn(s, false, "primary", 5, l)
	}
	var h, other claim.Holder
	for s := range 2 {
		if err := x.Take(t.Context(), &h, s, false, time.Minute); err != nil {
			t.Fatal(err)
		}
		x.Got(&h)
	}
	if err := x.Take(t.Context(), &h, 2, false, time.Minute); !errors.Is(err, claim.ErrNever) {
		t.Errorf("%v, want never", err)
	}
	// A limit that is lowered ends the wait of who has as much.
	waiting := make(chan error, 1)
	l.n = 3
	if err := x.Take(t.Context(), &other, 0, false, time.Minute); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { waiting <- x.Take(ctx, &other, 1, false, time.Minute) }()
	x.Give(&h, 0)
	x.Give(&h, 1)
	if err := <-waiting; err != nil {
		t.Error(err)
	}
}

// TestSharedTransactions has sessions of two tables take connections in any order: the limits are
// kept, and nobody waits for ever.
func TestSharedTransactions(t *testing.T) {
	bank := claim.NewBank()
	whole := &limitTo{5}
	per := []*limitTo{{2}, {3}, {2}}
	tables := []*claim.Table{claim.New(3, bank), claim.New(3, bank)}
	for _, x := range tables {
		for s, l := range per {
			x.Learn(s, false, "primary", 4, whole, l)
			x.Learn(s, true, "replica", -1)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	used, all := make([]int, 3), 0
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var h claim.Holder
			x := tables[i%2]
			for range 200 {
				shards := rand.Perm(3)[:1+rand.IntN(3)]
				for _, s := range shards {
					if err := x.Take(ctx, &h, s, false, 0); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					all++
					if used[s]++; used[s] > per[s].n || all > whole.n {
						t.Errorf("%d connections to shard %d, %d in all", used[s], s, all)
					}
					mu.Unlock()
				}
				for _, s := range shards {
					mu.Lock()
					used[s]--
					all--
					mu.Unlock()
					x.Give(&h, s)
				}
			}
		})
	}
	wg.Wait()
}
