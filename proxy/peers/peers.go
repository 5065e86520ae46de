// Package peers brings cancel requests to the process that they are for, where several proxies
// share an address.
//
// # Flow
//
//	client ─ CancelRequest ─► any of the proxies ─► the one whose number is in the process id ─► server
//
// Each of the proxies has a number of its own, which the process ids that its clients are told begin
// with. A request for a client of another one is passed on as it is, and the connection that it came
// on stays open until the other one has dealt with it. A request that comes again while it is on its
// way, because the proxies' configurations send it round, is dropped.
package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Bits is how many bits of a process id, below its own sign, are a proxy's number; MaxID is the
// greatest one.
const (
	Bits  = 10
	MaxID = 1<<Bits - 1
	shift = 31 - Bits
)

// Of returns the number of the proxy that has told a client this process id.
func Of(pid uint32) int { return int(pid & 0x7fffffff >> shift) }

// Range returns the process ids of a proxy: the first one, and how many there are.
func Range(id int) (first, n uint32) { return uint32(id) << shift, 1 << shift }

// A Peer is another proxy.
type Peer struct {
	ID int
	// Host is a name, an address, or the directory of a Unix socket; "@" is before the name of one
	// without a file.
	Host string
	Port uint16
	// Most is how many requests may be on their way to it. 0: 100.
	Most int
}

// defaultMost bounds the requests that are on their way to a peer.
const defaultMost = 100

// timeout is how long passing a request on may take.
const timeout = 10 * time.Second

// A Forwarder passes cancel requests on. It is safe for concurrent use. It must not be copied.
type Forwarder struct {
	// Peers returns the peers there are now.
	Peers func() []Peer
	// Log gets what could not be passed on. Nil discards it.
	Log *slog.Logger

	mu   sync.Mutex
	away map[string]int // requests under way, by process id and key: the peer that they went to
	sent map[int]*counters
}

type counters struct{ active, total, failed atomic.Int64 }

// A Figure is what became of the requests to one peer.
type Figure struct {
	Peer
	// Active are on their way now.
	Active int
	// Total were passed on, and Failed could not be, or were too many at once.
	Total, Failed int64
}

// Figures returns those of the peers there are now, in their order.
func (f *Forwarder) Figures() []Figure {
	list := f.Peers()
	out := make([]Figure, len(list))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range list {
		out[i].Peer = p
		if c := f.sent[p.ID]; c != nil {
			out[i].Active, out[i].Total, out[i].Failed = int(c.active.Load()), c.total.Load(), c.failed.Load()
		}
	}
	return out
}

// Cancel passes a request on, and returns when the peer has dealt with it. Whoever asks learns
// nothing of what became of it.
func (f *Forwarder) Cancel(ctx context.Context, pid uint32, key []byte) {
	id := Of(pid)
	for _, p := range f.Peers() {
		if p.ID == id {
			f.forward(ctx, p, pid, key)
			return
		}
	}
}

func (f *Forwarder) forward(ctx context.Context, p Peer, pid uint32, key []byte) {
	what := strconv.FormatUint(uint64(pid), 16) + " " + string(key)
	f.mu.Lock()
	if f.away == nil {
		f.away, f.sent = map[string]int{}, map[int]*counters{}
	}
	n := f.sent[p.ID]
	if n == nil {
		n = &counters{}
		f.sent[p.ID] = n
	}
	_, again := f.away[what]
	most := p.Most
	if most <= 0 {
		most = defaultMost
	}
	full := n.active.Load() >= int64(most)
	if !again && !full {
		f.away[what] = p.ID
		n.active.Add(1)
	}
	f.mu.Unlock()
	if again {
		return
	}
	var err error
	if full {
		err = fmt.Errorf("%d requests are on their way to it already", most)
	} else {
		err = send(ctx, p, pid, key)
		f.mu.Lock()
		delete(f.away, what)
		f.mu.Unlock()
		n.active.Add(-1)
	}
	if err == nil {
		n.total.Add(1)
		return
	}
	n.failed.Add(1)
	if f.Log != nil {
		f.Log.Warn("a cancel request could not be passed on", "peer", p.ID, "host", p.Host, "port", p.Port, "error", err)
	}
}

// Address is where the peer is reached.
func (p Peer) Address() (network, address string) {
	if strings.HasPrefix(p.Host, "/") || strings.HasPrefix(p.Host, "@") {
		return "unix", p.Host + "/.s.PGSQL." + strconv.Itoa(int(p.Port))
	}
	return "tcp", net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
}

func send(ctx context.Context, p Peer, pid uint32, key []byte) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	network, address := p.Address()
	nc, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := wire.Append(nil, &wire.CancelRequest{PID: pid, Key: key})
	if err != nil {
		return err
	}
	if _, err := nc.Write(b); err != nil {
		return err
	}
	// It closes the connection when it is done.
	var one [1]byte
	switch n, err := nc.Read(one[:]); {
	case n > 0:
		return errors.New("it answers a cancel request")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
