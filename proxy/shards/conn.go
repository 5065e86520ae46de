package shards

import (
	"context"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/pubsub"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A conn is a connection of our own to a shard's primary, which waits for no pool: clients
// may hold all of its connections while they wait for what is resolved here.
type conn struct {
	nc net.Conn
	r  *wire.Reader
}

func connect(ctx context.Context, pick Pick, shard int) (*conn, error) {
	p, err := pick(ctx, shard, route.Primary)
	if err != nil {
		return nil, err
	}
	return dial(ctx, p.Backend())
}

func dial(ctx context.Context, b *pool.Backend) (*conn, error) {
	nc, _, _, rest, err := pool.Open(ctx, b, nil)
	if err != nil {
		return nil, err
	}
	return &conn{nc, wire.NewReader(&joined{nc, rest}, wire.Backend, 0)}, nil
}

// joined reads what has come already, then the connection.
type joined struct {
	net.Conn
	rest []byte
}

func (j *joined) Read(b []byte) (int, error) {
	if len(j.rest) > 0 {
		n := copy(b, j.rest)
		j.rest = j.rest[n:]
		return n, nil
	}
	return j.Conn.Read(b)
}

// Connector connects to the shards' primaries, past their pools.
func Connector(pick Pick) twophase.Connect {
	return func(ctx context.Context, shard int) (twophase.Server, error) {
		c, err := connect(ctx, pick, shard)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}

// listener connects for LISTEN, which only a primary does.
func listener(ctx context.Context, pick Pick, shard int) (pubsub.Conn, error) {
	c, err := connect(ctx, pick, shard)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Listener connects to a server for LISTEN.
func Listener(ctx context.Context, b *pool.Backend) (pubsub.Conn, error) {
	c, err := dial(ctx, b)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// sendTimeout is how long a server that listens may take to read what it is asked, which others wait
// for, and byeTimeout the same for a goodbye.
const (
	sendTimeout = 3 * time.Second
	byeTimeout  = 100 * time.Millisecond
)

// Send implements pubsub.Conn. With an error the connection is closed.
func (c *conn) Send(b []byte) error {
	_ = c.nc.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err := c.nc.Write(b)
	if err != nil {
		_ = c.nc.Close() // a part of it may have been sent
	}
	return err
}

// Receive implements pubsub.Conn.
func (c *conn) Receive() (wire.Type, []byte, error) {
	f, err := c.r.ReadFrame()
	return f.Type, f.Body, err
}

// Close says goodbye, as far as it can be said at once.
func (c *conn) Close() {
	_ = c.nc.SetWriteDeadline(time.Now().Add(byeTimeout))
	if b, err := wire.Append(nil, &wire.Terminate{}); err == nil {
		_, _ = c.nc.Write(b)
	}
	_ = c.nc.Close()
}

// Query implements schema.Querier and twophase.Server. row may be nil.
func (c *conn) Query(ctx context.Context, sql string, row func([][]byte) error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.nc.Close() })
	defer stop()
	b, err := wire.Append(nil, &wire.Query{SQL: sql})
	if err != nil {
		return err
	}
	if _, err := c.nc.Write(b); err != nil {
		return err
	}
	var failure error
	var data wire.DataRow
	for {
		f, err := c.r.ReadFrame()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		switch f.Type {
		case wire.TypeErrorResponse:
			var m wire.ErrorResponse
			if err := m.Decode(f.Body); err != nil {
				return err
			}
			failure = &m.Error
		case wire.TypeDataRow:
			if row == nil || failure != nil {
				continue
			}
			if failure = data.Decode(f.Body); failure == nil {
				failure = row(data.Values)
			}
		case wire.TypeReadyForQuery:
			return failure
		}
	}
}

// Schema reads the schema of one server.
func Schema(ctx context.Context, b *pool.Backend) (*schema.Snapshot, error) {
	c, err := dial(ctx, b)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return schemaOf(ctx, c)
}

func schemaOf(ctx context.Context, c *conn) (*schema.Snapshot, error) {
	if err := c.Query(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL search_path = ''", nil); err != nil {
		return nil, err
	}
	return schema.Load(ctx, c)
}
