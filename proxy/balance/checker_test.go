package balance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A fake is a server that answers the probe, or does not.
type fake struct {
	mu      sync.Mutex
	answer  []string // the row; nil: it cannot be reached
	silent  bool
	dials   int
	queries int
	conns   []net.Conn
}

func (f *fake) set(answer ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
	if answer == nil {
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.conns = nil
	}
}

// count returns how many queries and connections there were.
func (f *fake) count() (queries, dials int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queries, f.dials
}

func (f *fake) dial() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials++
	if f.answer == nil {
		return nil, errDown
	}
	ours, theirs := net.Pipe()
	f.conns = append(f.conns, theirs)
	go f.serve(theirs)
	return ours, nil
}

func (f *fake) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := wire.NewReader(conn, wire.Frontend, 0)
	for {
		if _, err := r.ReadFrame(); err != nil {
			return
		}
		f.mu.Lock()
		f.queries++
		silent, answer := f.silent, f.answer
		f.mu.Unlock()
		if silent {
			continue
		}
		w := wire.NewWriter(conn)
		row := &wire.DataRow{}
		for _, v := range answer {
			row.Values = append(row.Values, []byte(v))
		}
		for _, m := range []wire.Message{row, &wire.CommandComplete{Tag: "SELECT 1"}, &wire.ReadyForQuery{TxStatus: 'I'}} {
			if w.Send(m) != nil {
				return
			}
		}
		if w.Flush() != nil {
			return
		}
	}
}

func TestChecker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := []*fake{{}, {}}
		g := New(Config{BanTimeout: time.Minute}, targets(conf.Auto, conf.Auto))
		c := NewChecker(g, CheckerConfig{Interval: 10 * time.Second, Delay: time.Hour, Timeout: 2 * time.Second, Urgent: 100 * time.Millisecond},
			func(_ context.Context, i int) (net.Conn, error) { return servers[i].dial() })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()

		primary := []string{"f", "00000001", "0/1000", "0", "t"}
		replica := []string{"t", "", "0/1000", "0", "t"}
		servers[1].set(replica...)
		synctest.Wait()
		if s := g.States(); s[0].Role != conf.Auto || s[0].Healthy || s[1].Role != conf.Replica {
			t.Errorf("at the start, without waiting for the delay: %+v", s)
		}
		start := time.Now()
		servers[0].set(primary...)
		if i, err := g.WaitPrimary(ctx); i != 0 || err != nil || time.Since(start) > 100*time.Millisecond {
			t.Errorf("%d, %v after %v", i, err, time.Since(start))
		}
		// One connection is kept, and asked at the interval.
		n, dials := servers[1].count()
		<-time.After(65 * time.Second)
		if queries, again := servers[1].count(); queries-n < 6 || queries-n > 7 || again != dials {
			t.Errorf("%d checks in 65 s over %d new connections", queries-n, again-dials)
		}
		// A broken connection alone is nothing.
		servers[0].mu.Lock()
		for _, conn := range servers[0].conns {
			_ = conn.Close()
		}
		servers[0].mu.Unlock()
		<-time.After(11 * time.Second)
		if !g.States()[0].Healthy {
			t.Error("a connection was closed, and the server is blamed")
		}
		// The pool finds that the primary is gone: it is checked at once, and writers wait
		// until the other one is promoted.
		servers[0].set()
		g.Failed(0, errDown)
		start = time.Now()
		go func() {
			<-time.After(3 * time.Second)
			servers[1].set("f", "00000002", "0/2000", "0", "t")
		}()
		if i, err := g.WaitPrimary(ctx); i != 1 || err != nil || time.Since(start) > 3200*time.Millisecond {
			t.Errorf("%d, %v after %v", i, err, time.Since(start))
		}
		// It comes back as it was.
		servers[0].set(primary...)
		<-time.After(11 * time.Second)
		if i, _ := g.Primary(); i != 1 || !g.States()[0].Healthy {
			t.Errorf("the old primary is back: %d, %+v", i, g.States()[0])
		}
		// A server that accepts and says nothing.
		servers[1].mu.Lock()
		servers[1].silent = true
		servers[1].mu.Unlock()
		g.Suspect(1)
		<-time.After(5 * time.Second)
		if g.States()[1].Healthy {
			t.Error("a silent server is healthy")
		}
		cancel()
		<-done
		for _, f := range servers {
			f.set()
		}
	})
}

func TestProbeErrors(t *testing.T) {
	tests := []struct {
		name string
		row  []string
	}{
		{"too few", []string{"t"}},
		{"no timeline", []string{"f", "zzz", "0/1", "0", "t"}},
		{"no position", []string{"f", "00000001", "x", "0", "t"}},
		{"no age", []string{"t", "", "0/1", "NaN", "t"}},
	}
	for _, tt := range tests {
		f := &fake{answer: tt.row}
		conn, err := f.dial()
		if err != nil {
			t.Fatal(err)
		}
		if o, err := Probe(conn); !errors.Is(err, errNotPostgres) {
			t.Errorf("%s: %+v, %v", tt.name, o, err)
		}
		_ = conn.Close()
	}
	ours, theirs := net.Pipe()
	go func() {
		r := wire.NewReader(theirs, wire.Frontend, 0)
		_, _ = r.ReadFrame()
		w := wire.NewWriter(theirs)
		_ = w.Send((&wire.Error{Code: "42501", Message: "permission denied"}).Response())
		_ = w.Send(&wire.ReadyForQuery{TxStatus: 'I'})
		_ = w.Flush()
	}()
	if _, err := Probe(ours); err == nil || wire.AsError(err).Code != "42501" {
		t.Errorf("an error of the server's: %v", err)
	}
	_ = ours.Close()
	_ = theirs.Close()
}

func FuzzProbe(f *testing.F) {
	f.Add([]byte("D\x00\x00\x00\x0a\x00\x01\x00\x00\x00\x01t"))
	f.Add((&wire.ReadyForQuery{TxStatus: 'I'}).AppendTo(nil))
	f.Add((&wire.DataRow{Values: [][]byte{[]byte("f"), []byte("00000001"), []byte("0/1"), []byte("1e300"), []byte("t")}}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			buf := make([]byte, 4096)
			_, _ = theirs.Read(buf)
			_, _ = theirs.Write(b)
			_ = theirs.Close()
		})
		if o, err := Probe(ours); err == nil && o.Replayed < 0 {
			t.Errorf("%+v", o)
		}
		_ = ours.Close()
		wg.Wait()
	})
}

func TestCheckerConfigOf(t *testing.T) {
	g := conf.DefaultConfig().General
	if c := CheckerConfigOf(&g, false); c.Interval != 30*time.Second || c.Delay != 5*time.Second {
		t.Errorf("%+v", c)
	}
	if c := CheckerConfigOf(&g, true); c.Interval != 5*time.Second {
		t.Errorf("%+v", c)
	}
	zero := time.Duration(0)
	g.LSNCheckDelay = &zero
	if c := CheckerConfigOf(&g, false); fmt.Sprint(c.Interval, c.Delay) != "5s 0s" {
		t.Errorf("%+v", c)
	}
}
