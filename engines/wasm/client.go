package wasm

import (
	"encoding/binary"
	"strconv"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

// A client is one connection to the backend and, between its turns, its session.
type client struct {
	b      *backend
	id     uint32 // the process id that it was told
	secret uint32
	stream *stream

	// What the client has sent; guarded by rxMu.
	rxMu    sync.Mutex
	rx      []byte
	off     int  // first byte not taken yet
	scanned int  // first byte not known to be in a complete message
	started bool // startup message seen: messages have types
	startup []byte
	bad     *fault // the bytes are not the protocol
	eof     bool

	// Guarded by backend.mu.
	queued     bool
	refusing   bool        // its request is being answered with an error; it must not queue
	wait       *time.Timer // ends the wait in the queue
	registered bool

	// Used by the guest's goroutine, or by whoever took the client out of the queue.
	ready     bool   // the session has been set up
	fatal     *fault // ends the client when its statement has ended
	status    byte   // of the last ReadyForQuery
	midway    bool   // messages were taken for which no ReadyForQuery has come yet
	skipSync  bool   // an error was reported; ignore messages up to Sync
	session   session
	params    map[string]string // parameter status that the client knows
	idleLimit time.Duration     // idle_session_timeout, when it does not hold the backend
	idleSince time.Time
}

// receive takes bytes from the client, on the client's goroutine.
func (c *client) receive(b []byte) {
	c.rxMu.Lock()
	c.rx = append(c.rx, b...)
	before := c.scanned
	news, reply := c.scan()
	// Only whole messages count: the rest of one must never be kept waiting.
	whole := max(0, c.scanned-before)
	c.rxMu.Unlock()
	c.stream.mu.Lock()
	c.stream.backlog += whole
	c.stream.mu.Unlock()
	if reply != nil {
		c.stream.sendNow(reply)
	}
	if news {
		c.b.enqueue(c)
	}
}

// scan looks for complete messages behind scanned. It reports whether there is something
// new for the guest, and what to answer at once.
func (c *client) scan() (news bool, reply []byte) {
	for c.bad == nil {
		have := c.rx[c.scanned:]
		if !c.started {
			more, r := c.scanStartup(have)
			reply = append(reply, r...)
			if !more {
				return news || c.bad != nil, reply
			}
			news = c.started
			continue
		}
		if len(have) < headerLen {
			return news, reply
		}
		n := binary.BigEndian.Uint32(have[1:])
		if bad := checkHeader(have[0], n); bad != nil {
			c.bad = bad
			return true, reply
		}
		if uint64(len(have)) < uint64(n)+1 {
			return news, reply
		}
		c.scanned += int(n) + 1
		news = true
	}
	return true, reply
}

// checkHeader refuses what PostgreSQL would end the backend for.
func checkHeader(typ byte, n uint32) *fault {
	limit, known := wire.Frontend.Limit(wire.Type(typ))
	if !known {
		return &fault{code: "08P01", message: "invalid frontend message type " + itoa(int(typ))}
	}
	if n < 4 || uint64(n) > uint64(limit) {
		return &fault{code: "08P01", message: "invalid message length"}
	}
	return nil
}

// scanStartup looks at a message without type. It reports whether to go on behind it.
func (c *client) scanStartup(have []byte) (more bool, reply []byte) {
	if len(have) < 4 {
		return false, nil
	}
	n := binary.BigEndian.Uint32(have)
	if n < 8 || n > wire.MaxStartup+4 {
		c.bad = &fault{code: "08P01", message: "invalid length of startup packet"}
		return false, nil
	}
	if len(have) < int(n) {
		return false, nil
	}
	body := have[4:n]
	switch binary.BigEndian.Uint32(body) {
	case codeSSL, codeGSS:
		c.consume(int(n))
		return true, []byte{'N'}
	case codeCancel:
		if len(body) >= 12 {
			c.b.cancelRequest(binary.BigEndian.Uint32(body[4:]), binary.BigEndian.Uint32(body[8:]))
		}
		c.consume(len(have))
		c.stream.end()
		return false, nil
	}
	c.startup = append([]byte(nil), body...)
	c.consume(int(n))
	c.started = true
	return true, nil
}

// consume takes n bytes off before anything has been handed out. rxMu is held.
func (c *client) consume(n int) {
	c.scanned += n
	c.off = c.scanned
}

// next returns the next complete message, and whether the client's input has ended: with
// bad bytes, or because it hung up. The message is good until the next call.
func (c *client) next() (msg []byte, bad *fault, eof bool) {
	c.rxMu.Lock()
	defer c.rxMu.Unlock()
	if c.off < c.scanned {
		if c.off > highWater {
			c.rx = append([]byte(nil), c.rx[c.off:]...)
			c.scanned -= c.off
			c.off = 0
		}
		n := int(binary.BigEndian.Uint32(c.rx[c.off+1:])) + 1
		msg = c.rx[c.off : c.off+n]
		c.off += n
		return msg, nil, false
	}
	if c.off > 0 {
		// Whole messages are gone; what was handed out is done with.
		rest := c.rx[c.off:]
		if cap(c.rx) > highWater {
			c.rx = append([]byte(nil), rest...)
		} else {
			c.rx = append(c.rx[:0], rest...)
		}
		c.off, c.scanned = 0, 0
	}
	return nil, c.bad, c.eof
}

// hasInput reports whether next would have something to say.
func (c *client) hasInput() bool {
	c.rxMu.Lock()
	defer c.rxMu.Unlock()
	return c.off < c.scanned || c.bad != nil || c.eof
}

// leaving reports whether the next thing that the client has to say is good-bye.
func (c *client) leaving() bool {
	c.rxMu.Lock()
	defer c.rxMu.Unlock()
	if c.off < c.scanned {
		return c.rx[c.off] == 'X'
	}
	return c.eof
}

// hangUp notes that the client has gone.
func (c *client) hangUp() {
	c.rxMu.Lock()
	c.eof = true
	pending := c.off < c.scanned
	c.rxMu.Unlock()
	c.b.lost(c, pending)
}

// end sends a last error, if any, and closes the stream.
func (c *client) end(f *fault) {
	if f != nil {
		c.stream.sendNow(errorResponse("FATAL", f))
	}
	c.stream.end()
}
