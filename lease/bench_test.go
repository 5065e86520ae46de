package lease_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// BenchmarkLeaseWaiters has 1,000 clients wait for one name, which goes through all of
// them in the order of their coming.
func BenchmarkLeaseWaiters(b *testing.B) {
	s, path := serveNames(b, 1)
	b.ReportAllocs()
	buf := make([]byte, 1024)
	for b.Loop() {
		first, err := net.Dial("unix", path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := first.Read(buf); err != nil {
			b.Fatal(err)
		}
		conns := make([]net.Conn, 1000)
		for i := range conns {
			if conns[i], err = net.Dial("unix", path); err != nil {
				b.Fatal(err)
			}
		}
		await(b, s, "all wait", func(st lease.PoolStatus) bool { return len(st.Waiting) == 1000 })
		began := time.Now()
		first.Close()
		for i, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Read(buf); err != nil {
				b.Fatalf("waiter %d: %v", i, err)
			}
			c.Close()
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "µs/handover")
	}
}

// BenchmarkLeasePool measures the pool without a socket.
func BenchmarkLeasePool(b *testing.B) {
	p := lease.NewPool(lease.PoolConfig{Engine: "none", Count: new(8)}, lease.NewNames("t_"), nil)
	p.Start()
	defer p.Close(context.Background())
	b.ReportAllocs()
	for b.Loop() {
		l, err := p.Acquire(b.Context(), lease.Holder{})
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
	}
}
