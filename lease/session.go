package lease

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A session is one client's connection. Two goroutines serve it: run, which alone writes,
// and one that reads lines and sees the end.
type session struct {
	server  *Server
	pool    *Pool // of the socket
	conn    stream
	peer    Holder
	control bool

	asked *Request // what is waited for
	lease *Lease
	told  bool   // the grant has been written
	heard string // what was read before
}

// longGone is how long a client may take to read what we write before it counts as gone.
const longGone = 10 * time.Second

// newSession returns the session of a control socket; request makes it one of a lease
// socket. It needs a conn before it can run.
func newSession(s *Server, p *Pool, pid int) *session {
	return &session{server: s, pool: p, peer: Holder{PID: pid}, control: true}
}

// request joins the queue of p.
func (c *session) request(p *Pool, label string) {
	c.control = false
	h := c.holder(label)
	c.asked = p.Request(h)
}

func (c *session) holder(label string) Holder {
	h := c.peer
	h.Label = label
	h.End = c.ended
	return h
}

// ended is called when the lease ends by force: the client learns it by the end of the
// connection, as from pgmanager.
func (c *session) ended(string) { _ = c.conn.Close() }

// leave ends the wait or the lease.
func (c *session) leave() {
	if c.asked != nil {
		c.asked.Cancel() // ends the lease, too
	}
	if c.lease != nil {
		c.lease.Release()
	}
}

// run serves the client until it goes. When it returns, the lease has ended.
func (c *session) run() {
	lines := make(chan string, 16)
	gone := make(chan error, 1)
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { gone <- c.read(lines, stop) })
	defer func() {
		close(stop)
		c.leave()
		_ = c.conn.Close()
		reader.Wait()
	}()
	if !c.control && !c.await(gone) {
		return
	}
	for {
		var line string
		select {
		case line = <-lines:
		case err := <-gone:
			c.rest(lines, err)
			return
		}
		if !c.answer(line, gone) {
			return
		}
	}
}

// read passes on lines until the connection ends, and returns why that was. The reason is
// not passed on before the lines that came before it have been taken.
func (c *session) read(lines chan<- string, stop <-chan struct{}) error {
	r := bufio.NewReaderSize(io.MultiReader(strings.NewReader(c.heard), c.conn), MaxLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("a request may have %d bytes", MaxLine)
		}
		if err != nil {
			return err // a line without an end is no request
		}
		select {
		case lines <- string(line[:len(line)-1]):
		case <-stop:
			return net.ErrClosed
		}
	}
}

// rest answers what a client asked before it shut down its side, if that is what it did.
func (c *session) rest(lines <-chan string, err error) {
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
		c.write(appendErr(nil, err))
	}
	if !errors.Is(err, io.EOF) {
		return
	}
	done := make(chan error)
	for {
		select {
		case line := <-lines:
			if !c.answer(line, done) {
				return
			}
		default:
			return
		}
	}
}

// await waits for the grant on a lease socket and writes it.
func (c *session) await(gone chan error) bool {
	select {
	case <-c.asked.Done():
	case err := <-gone:
		if !errors.Is(err, io.EOF) {
			return false
		}
		// It went, or has only shut down its side: no matter, that is a release. What
		// was asked together with it is answered if a database is there at once.
		select {
		case <-c.asked.Done():
			gone <- err
		default:
			return false
		}
	}
	l, err := c.asked.Lease()
	if err != nil {
		if refused, ok := errors.AsType[*RefusedError](err); ok {
			c.write(appendEmpty(nil, refused.Reason))
		}
		return false
	}
	c.lease, c.asked = l, nil
	return c.told || c.write(appendGrant(nil, l.Item.Name))
}

// write reports whether the client is still there.
func (c *session) write(b []byte) bool {
	if err := c.conn.SetWriteDeadline(time.Now().Add(longGone)); err != nil {
		return false
	}
	_, err := c.conn.Write(b)
	return err == nil
}

// answer carries out one request, and reports whether to go on.
func (c *session) answer(line string, gone chan error) bool {
	r := parseRequest(line)
	if r.verb == "" {
		return c.write([]byte("\n"))
	}
	out, end := c.do(r, gone)
	return c.write(out) && !end
}

// do carries out one request and returns its answer; end tells to end the connection.
func (c *session) do(r request, gone chan error) (out []byte, end bool) {
	if c.control {
		if out, end, known := c.doControl(&r, gone); known {
			return out, end
		}
	}
	if r.verb == "ping" {
		return appendOK(nil, "pong"), false
	}
	l := c.lease
	if l == nil {
		if isLeaseVerb(r.verb) {
			return appendErr(nil, fmt.Errorf("%s: there is no lease; acquire one first", r.verb)), false
		}
		return appendErr(nil, unknownVerb(r.verb)), false
	}
	switch r.verb {
	case "name":
		return appendOK(nil, l.Item.Name), false
	case "id":
		return appendOK(nil, l.ID), false
	case "url":
		if l.Item.URL == "" {
			return appendErr(nil, errors.New("url: this pool lends names only")), false
		}
		return appendOK(nil, l.Item.URL), false
	case "env":
		return appendLines(nil, append(slices.Clip(l.Item.Env), "PGX_DEV_LEASE_ID="+l.ID)), false
	case "label":
		l.SetLabel(r.rest)
	case "clean":
		l.Clean()
	case "keep":
		l.Keep(r.rest)
	case "ttl":
		d, err := parseTime(r.rest)
		if err != nil {
			return appendErr(nil, fmt.Errorf("ttl: %w", err)), false
		}
		l.SetTTL(d)
	case "reset":
		return c.reset(l, gone), false
	case "release":
		l.Release()
		c.lease = nil
		return appendOK(nil, ""), !c.control
	default:
		return appendErr(nil, unknownVerb(r.verb)), false
	}
	return appendOK(nil, ""), false
}

func unknownVerb(verb string) error {
	return fmt.Errorf("unknown request %q", verb[:min(len(verb), 40)])
}

func isLeaseVerb(verb string) bool {
	return slices.Contains([]string{"name", "id", "url", "env", "label", "clean", "keep", "ttl", "reset", "release"}, verb)
}

// reset waits for the reset, which the client's end cuts short. It is answered even so: a
// client that has shut down its side may still read.
func (c *session) reset(l *Lease, gone chan error) []byte {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- l.Reset(ctx) }() // waited for: by us, or by the lease's end
	var err error
	select {
	case err = <-done:
	case why := <-gone:
		cancel()
		if err = <-done; errors.Is(err, context.Canceled) {
			err = errors.New("the lease has ended meanwhile")
		}
		gone <- why
	}
	if err != nil {
		return appendErr(nil, fmt.Errorf("reset: %w", err))
	}
	return appendOK(nil, "")
}

// doControl carries out what only the control socket knows.
func (c *session) doControl(r *request, gone chan error) (out []byte, end, known bool) {
	var err error
	switch r.verb {
	case "acquire":
		out, end, err = c.acquire(r, gone)
	case "status":
		var b []byte
		if b, err = json.Marshal(c.server.Status()); err == nil {
			out = appendLines(nil, []string{string(b)})
		}
	case "kick":
		if err = c.server.Kick(r.rest, "kicked"); err == nil {
			out = appendOK(nil, "")
		}
	case "drain":
		c.server.askDrain()
		out = appendOK(nil, "")
	default:
		return nil, false, false
	}
	if err != nil {
		out = appendErr(nil, fmt.Errorf("%s: %w", r.verb, err))
	}
	return out, end, true
}

func (c *session) acquire(r *request, gone chan error) (out []byte, end bool, err error) {
	if c.lease != nil {
		return nil, false, errors.New("there is a lease already; release it first, or connect once more")
	}
	if err := r.parseArgs("pool", "label", "ttl", "wait"); err != nil {
		return nil, false, err
	}
	ttl, hasTTL, err := r.duration("ttl")
	if err != nil {
		return nil, false, err
	}
	wait, hasWait, err := r.duration("wait")
	if err != nil {
		return nil, false, err
	}
	p := c.pool
	if name, ok := r.args["pool"]; ok {
		if p, err = c.server.Pool(name); err != nil {
			return nil, false, err
		}
	}
	c.asked = p.Request(c.holder(r.args["label"]))
	var timeout <-chan time.Time
	if hasWait {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	asked := c.asked
	select {
	case <-asked.Done():
	case <-timeout:
		// A grant at the last moment counts.
		asked.expire(wait)
	case err := <-gone:
		gone <- err
		return nil, true, nil
	}
	c.asked = nil
	l, err := asked.Lease()
	if err != nil {
		return nil, false, err
	}
	c.lease = l
	if hasTTL {
		l.SetTTL(ttl)
	}
	return appendOK(nil, l.Item.Name), false, nil
}
