package lease

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A Client talks to a server's control socket. It holds at most one lease, which ends when
// the client is closed or its process ends. It is safe for concurrent use.
type Client struct {
	conn *net.UnixConn

	mu sync.Mutex
	r  *bufio.Reader
}

// Dial connects to the server whose lease socket is at path. The error wraps
// engines.ErrNotExist where there is no server.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := dial(ctx, ControlPath(path))
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, r: bufio.NewReader(conn)}, nil
}

func dial(ctx context.Context, path string) (*net.UnixConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return nil, &noServerError{strings.TrimSuffix(path, ".ctl")}
	case err != nil:
		return nil, fmt.Errorf("connect to the lease server: %w", err)
	}
	return conn.(*net.UnixConn), nil // as "unix" always gives
}

// A noServerError says that nobody listens at a path.
type noServerError struct{ path string }

func (e *noServerError) Error() string { return "no lease server at " + e.path }

func (e *noServerError) Unwrap() error { return engines.ErrNotExist }

// hangUp ends a connection, for those too who have a copy of its descriptor.
func hangUp(conn *net.UnixConn) error {
	_ = conn.CloseWrite() // the server may have done so before
	return conn.Close()
}

// Close ends the connection and with it the lease, whoever may have a File of it.
func (c *Client) Close() error { return hangUp(c.conn) }

// File returns a copy of the connection for a child process: while that lives the lease
// does, unless Close ended it. The caller closes the copy.
func (c *Client) File() (*os.File, error) { return c.conn.File() }

// A Want says what to acquire. The zero value is any database of the server's first pool.
type Want struct {
	Pool  string
	Label string
	TTL   time.Duration // 0: as the pool says
	// Wait bounds the time in the queue; 0: as the pool says. For not waiting at all use a
	// time that is short.
	Wait time.Duration
}

// Held is a lease as its holder sees it.
type Held struct {
	Name string
	ID   string
	URL  string   // "" from a pool of names
	Env  []string // NAME=VALUE

	client *Client
}

// Acquire waits for a database. A refusal is a *RefusedError. When ctx ends first the
// client is closed.
func (c *Client) Acquire(ctx context.Context, w Want) (*Held, error) {
	line := "acquire"
	if w.Pool != "" {
		line += " pool=" + quoteArg(w.Pool)
	}
	if w.Label != "" {
		line += " label=" + quoteArg(w.Label)
	}
	if w.TTL > 0 {
		line += " ttl=" + w.TTL.String()
	}
	if w.Wait > 0 {
		line += " wait=" + w.Wait.String()
	}
	name, err := c.Ask(ctx, line)
	if err != nil {
		if reason, ok := strings.CutPrefix(err.Error(), "acquire: no database: "); ok {
			err = &RefusedError{Reason: reason}
		}
		return nil, err
	}
	h := &Held{Name: name, client: c}
	if h.Env, err = c.AskLines(ctx, "env"); err != nil {
		return nil, err
	}
	for _, kv := range h.Env {
		if id, ok := strings.CutPrefix(kv, "PGX_DEV_LEASE_ID="); ok {
			h.ID = id
		}
		if url, ok := strings.CutPrefix(kv, "DATABASE_URL="); ok {
			h.URL = url
		}
	}
	return h, nil
}

// Ask sends one request of the protocol and returns the text of its answer.
func (c *Client) Ask(ctx context.Context, line string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ask(ctx, line)
}

func (c *Client) ask(ctx context.Context, line string) (string, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	defer stop()
	fail := func(err error) (string, error) {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("the lease server ended the connection: %w", err)
	}
	if _, err := c.conn.Write([]byte(oneLine(line) + "\n")); err != nil {
		return fail(err)
	}
	answer, err := c.r.ReadString('\n')
	if err != nil {
		return fail(err)
	}
	answer = strings.TrimSuffix(answer, "\n")
	if text, ok := strings.CutPrefix(answer, grantPrefix); ok {
		return text, nil
	}
	return "", errors.New(strings.TrimPrefix(answer, errPrefix))
}

// AskLines sends a request whose answer has several lines.
func (c *Client) AskLines(ctx context.Context, line string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := c.ask(ctx, line)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("the lease server answered %q to %s", text, line)
	}
	var lines []string
	for range n {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("the lease server ended the connection: %w", err)
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, nil
}

// Keep makes the database stay after the lease.
func (h *Held) Keep(ctx context.Context, reason string) error {
	_, err := h.client.Ask(ctx, "keep "+reason)
	return err
}

// Reset makes the database as new, ending every session in it.
func (h *Held) Reset(ctx context.Context) error {
	_, err := h.client.Ask(ctx, "reset")
	return err
}

// Clean tells that nothing was changed.
func (h *Held) Clean(ctx context.Context) error {
	_, err := h.client.Ask(ctx, "clean")
	return err
}

// Release ends the lease; the client may acquire again.
func (h *Held) Release(ctx context.Context) error {
	_, err := h.client.Ask(ctx, "release")
	return err
}

// Status asks for the server's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	lines, err := c.AskLines(ctx, "status")
	if err != nil {
		return st, err
	}
	err = json.Unmarshal([]byte(strings.Join(lines, "\n")), &st)
	return st, err
}

// Kick ends another's lease.
func (c *Client) Kick(ctx context.Context, id string) error {
	_, err := c.Ask(ctx, "kick "+id)
	return err
}

// Drain tells the server to end when its leases have.
func (c *Client) Drain(ctx context.Context) error {
	_, err := c.Ask(ctx, "drain")
	return err
}

// A Legacy is a lease from a server that speaks pgmanager's protocol and perhaps nothing
// else. Close ends it.
type Legacy struct {
	Name string
	conn *net.UnixConn
}

// AcquireLegacy waits for a name as a client of pgmanager does: it sends nothing.
func AcquireLegacy(ctx context.Context, path string) (*Legacy, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	b := make([]byte, 1024) // what pgmanager's client reads, in one read
	n, err := conn.Read(b)
	name, parseErr := parseGrant(b[:n])
	if parseErr == nil {
		return &Legacy{name, conn}, nil
	}
	_ = conn.Close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && n > 0 {
		return nil, err
	}
	return nil, parseErr
}

// Close ends the lease, whoever may have a File of it.
func (l *Legacy) Close() error { return hangUp(l.conn) }

// File returns a copy of the connection for a child process: while that lives the lease
// does, unless Close ended it. The caller closes the copy.
func (l *Legacy) File() (*os.File, error) { return l.conn.File() }
