package shards_test

import (
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/loop"
)

// transports runs a test over each transport that there is here.
func transports(t *testing.T, test func(t *testing.T)) {
	t.Run("goroutine", test)
	if g, err := loop.New(1); err == nil {
		g.Close()
		t.Run("epoll", test)
	}
}

// newLoops starts the loops of a test that transports runs; nil: it is for goroutines.
func newLoops(t testing.TB) *loop.Group {
	t.Helper()
	if !strings.Contains(t.Name(), "/epoll") {
		return nil
	}
	g, err := loop.New(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}
