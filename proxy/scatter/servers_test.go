package scatter_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A conn is a server connection.
type conn struct {
	net.Conn
	r        *wire.Reader
	pid      uint32
	key      []byte
	settings string
	known    scatter.Statements
	srv      *server
	params   map[string]string
	held     sync.WaitGroup
	pool     *servers
}

func (c *conn) Hold() func() {
	c.held.Add(1)
	return c.held.Done
}

// A server is a database of a server.
type server struct {
	dial     func(ctx context.Context) (net.Conn, error)
	user     string
	database string
}

func (s *server) connect(ctx context.Context) (*conn, error) {
	nc, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, r: wire.NewReader(nc, wire.Backend, 0), srv: s, params: map[string]string{}}
	m := &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: s.user}, {Name: "database", Value: s.database}}}
	b, err := wire.Append(nil, m)
	if err != nil {
		return nil, err
	}
	if _, err := nc.Write(b); err != nil {
		return nil, err
	}
	for {
		f, err := c.r.ReadFrame()
		if err != nil {
			return nil, err
		}
		switch f.Type {
		case wire.TypeBackendKeyData:
			var k wire.BackendKeyData
			if err := k.Decode(f.Body); err != nil {
				return nil, err
			}
			c.pid, c.key = k.PID, append([]byte(nil), k.Key...)
		case wire.TypeParameterStatus:
			var p wire.ParameterStatus
			if err := p.Decode(f.Body); err != nil {
				return nil, err
			}
			c.params[p.Name] = p.Value
		case wire.TypeErrorResponse:
			var e wire.ErrorResponse
			if err := e.Decode(f.Body); err != nil {
				return nil, err
			}
			_ = nc.Close()
			return nil, &e.Error
		case wire.TypeReadyForQuery:
			return c, nil
		}
	}
}

func (c *conn) Send(b []byte) error {
	if c.pool != nil {
		c.pool.sending(b)
	}
	_, err := c.Write(b)
	return err
}

func (c *conn) Receive() (wire.Type, []byte, error) {
	f, err := c.r.ReadFrame()
	return f.Type, f.Body, err
}

func (c *conn) PID() uint32 { return c.pid }

func (c *conn) Buffered() int { return c.r.Buffered() }

func (c *conn) Statements() *scatter.Statements { return &c.known }

func (c *conn) Cancel(ctx context.Context) error {
	if c.pool != nil {
		if f := c.pool.cancelling.Load(); f != nil {
			(*f)()
		}
	}
	nc, err := c.srv.dial(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	b, err := wire.Append(nil, &wire.CancelRequest{PID: c.pid, Key: c.key})
	if err != nil {
		return err
	}
	if _, err := nc.Write(b); err != nil {
		return err
	}
	_, _ = io.ReadAll(nc)
	return nil
}

func (c *conn) run(sql string) error {
	b, err := wire.Append(nil, &wire.Query{SQL: sql})
	if err != nil {
		return err
	}
	if err := c.Send(b); err != nil {
		return err
	}
	var failure error
	for {
		f, err := c.r.ReadFrame()
		if err != nil {
			return err
		}
		switch f.Type {
		case wire.TypeErrorResponse:
			var e wire.ErrorResponse
			if err := e.Decode(f.Body); err != nil {
				return err
			}
			failure = &e.Error
		case wire.TypeReadyForQuery:
			return failure
		}
	}
}

// servers is a plain pool.
type servers struct {
	// cancelling is called before a request to cancel is sent, asking before a shard is asked who waits.
	cancelling atomic.Pointer[func()]
	asking     atomic.Pointer[func(ctx context.Context, shard int) error]

	shards []*server

	mu   sync.Mutex
	idle [][]*conn
	out  int
	hook func(text string) bool
}

// before has a function called with what is sent, before it is, until it says that it is done.
func (p *servers) before(hook func(text string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

func (p *servers) sending(b []byte) {
	p.mu.Lock()
	hook := p.hook
	p.hook = nil // what it does itself is not shown to it
	p.mu.Unlock()
	if hook != nil && !hook(string(b)) {
		p.before(hook)
	}
}

func (p *servers) Acquire(ctx context.Context, shard int, _ route.Role, settings *scatter.Settings) (scatter.Conn, error) {
	p.mu.Lock()
	var c *conn
	if list := p.idle[shard]; len(list) > 0 {
		c = list[len(list)-1]
		p.idle[shard] = list[:len(list)-1]
	}
	p.out++
	p.mu.Unlock()
	if c == nil {
		var err error
		if c, err = p.shards[shard].connect(ctx); err != nil {
			p.count(-1)
			return nil, err
		}
	}
	if c.settings != settings.Key() {
		sql := "SET SESSION AUTHORIZATION DEFAULT; RESET ALL"
		if settings.Key() != "" {
			sql += "; " + settings.SQL()
		}
		if err := c.run(sql); err != nil {
			p.Discard(c)
			return nil, err
		}
		c.settings = settings.Key()
	}
	c.pool = p
	return c, nil
}

func (p *servers) count(n int) {
	p.mu.Lock()
	p.out += n
	p.mu.Unlock()
}

func (p *servers) Release(x scatter.Conn, settings *scatter.Settings) {
	c := x.(*conn)
	c.held.Wait()
	c.settings = "?"
	if settings != nil {
		c.settings = settings.Key()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out--
	for i, s := range p.shards {
		if s == c.srv {
			p.idle[i] = append(p.idle[i], c)
		}
	}
}

func (p *servers) Discard(x scatter.Conn) {
	p.count(-1)
	_ = x.(*conn).Close()
}

// lent is how many connections are lent.
func (p *servers) lent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out
}

func (p *servers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		for _, c := range list {
			_ = c.Close()
		}
	}
}
