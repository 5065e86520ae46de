package copysplit

import (
	"math/rand/v2"
	"testing"
)

// TestLines compares the lines with a list of them.
func TestLines(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := lines{most: 1 << 20}
		var want []int // by the shard's line
		line := 0
		for range 300 {
			line += rnd.IntN(4) * rnd.IntN(200) // the others'
			height := max(1, rnd.IntN(20)-14)
			for i := range height {
				want = append(want, line+i+1)
			}
			line += height
			l.add(line, height)
		}
		for i, w := range want {
			if got, ok := l.client(i + 1); !ok || got != w {
				t.Fatalf("seed %d: line %d is %d %v, want %d", seed, i+1, got, ok, w)
			}
		}
		if got, ok := l.client(len(want) + 2); !ok || got != line+2 {
			t.Fatalf("seed %d: behind the last line %d %v, want %d", seed, got, ok, line+2)
		}
	}
	var l lines
	if got, ok := l.client(1); !ok || got != 1 {
		t.Errorf("the first line of nothing is %d %v", got, ok)
	}
	l = lines{most: 2}
	for i := range 5 {
		l.add(2*i+1, 1) // every second line
	}
	if got, ok := l.client(2); !ok || got != 3 {
		t.Errorf("line 2 is %d %v, want 3", got, ok)
	}
	if _, ok := l.client(5); ok || len(l.skips) > 3 {
		t.Errorf("a line is known that has not been noted: %d bytes", len(l.skips))
	}
}
