package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A cursor reads the fields of one message's body. The first thing that is not there is
// kept as err and everything read after it is zero, so that a decoder reads all its fields
// and asks once. Slices that it returns share the body's memory.
//
// The wording of its errors is that of libpq/pqformat.c.
type cursor struct {
	b    []byte
	off  int
	err  *Error
	name string // the message's name, for the error's detail
}

func newCursor(name string, body []byte) cursor { return cursor{b: body, name: name} }

func (c *cursor) fail(message string) {
	if c.err == nil {
		c.err = protocolViolation(message)
		c.err.Detail = "The message is " + c.name + "."
	}
	c.off = len(c.b)
}

func (c *cursor) left() int { return len(c.b) - c.off }

// end demands that the body is used up, and returns the first error.
func (c *cursor) end() error {
	if c.err == nil && c.off != len(c.b) {
		c.fail("invalid message format")
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

func (c *cursor) byte() byte {
	if c.left() < 1 {
		c.fail("no data left in message")
		return 0
	}
	v := c.b[c.off]
	c.off++
	return v
}

func (c *cursor) bool() bool { return c.byte() != 0 }

func (c *cursor) uint16() uint16 {
	if c.left() < 2 {
		c.fail("insufficient data left in message")
		return 0
	}
	v := binary.BigEndian.Uint16(c.b[c.off:])
	c.off += 2
	return v
}

func (c *cursor) uint32() uint32 {
	if c.left() < 4 {
		c.fail("insufficient data left in message")
		return 0
	}
	v := binary.BigEndian.Uint32(c.b[c.off:])
	c.off += 4
	return v
}

func (c *cursor) int32() int32 { return int32(c.uint32()) }

func (c *cursor) uint64() uint64 {
	if c.left() < 8 {
		c.fail("insufficient data left in message")
		return 0
	}
	v := binary.BigEndian.Uint64(c.b[c.off:])
	c.off += 8
	return v
}

// count reads the length of a list whose elements take at least size bytes each. A list
// that the rest of the body cannot hold is refused before anything is allocated for it.
func (c *cursor) count(size int) int {
	n := int(c.uint16())
	if n*size > c.left() {
		c.fail("insufficient data left in message")
		return 0
	}
	return n
}

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > c.left() {
		c.fail("insufficient data left in message")
		return nil
	}
	v := c.b[c.off : c.off+n : c.off+n]
	c.off += n
	return v
}

// rest returns what is left of the body.
func (c *cursor) rest() []byte { return c.bytes(c.left()) }

// cstring returns the bytes up to the next NUL.
func (c *cursor) cstring() []byte {
	n := bytes.IndexByte(c.b[c.off:], 0)
	if n < 0 {
		c.fail("invalid string in message")
		return nil
	}
	v := c.b[c.off : c.off+n]
	c.off += n + 1
	return v
}

// string reads a NUL-terminated string into dst. A message value that is used again and
// again keeps a string that is the same as last time, which costs no allocation.
func (c *cursor) string(dst *string) {
	if s := c.cstring(); *dst != string(s) {
		*dst = string(s)
	}
}

// value reads one value as [AppendValue] writes it.
func (c *cursor) value() []byte {
	n := c.int32()
	if n == -1 {
		return nil
	}
	return c.bytes(int(n))
}

// values reads a list of values into dst's memory.
func (c *cursor) values(dst [][]byte) [][]byte {
	values, rest, ok := splitValues(dst, c.b[c.off:])
	if !ok {
		c.fail("insufficient data left in message")
		return dst[:0]
	}
	c.off = len(c.b) - len(rest)
	return values
}

// splitValues reads a list of values at the beginning of b into dst's memory. It is where
// rows spend their time.
func splitValues(dst [][]byte, b []byte) (values [][]byte, rest []byte, ok bool) {
	if len(b) < 2 {
		return dst, b, false
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if 4*n > len(b) {
		return dst, b, false
	}
	if cap(dst) < n {
		dst = make([][]byte, n)
	}
	dst = dst[:n]
	for i := range dst {
		if len(b) < 4 {
			return dst, b, false
		}
		size := int(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if size == -1 {
			dst[i] = nil
			continue
		}
		if uint(size) > uint(len(b)) {
			return dst, b, false
		}
		dst[i] = b[:size:size]
		b = b[size:]
	}
	return dst, b, true
}

// formats reads a list of format codes into dst's memory.
func (c *cursor) formats(dst []Format) []Format {
	n := c.count(2)
	dst = slices.Grow(dst[:0], n)
	for range n {
		dst = append(dst, Format(c.uint16()))
	}
	return dst
}

// decodeEmpty decodes a message that has no body.
func decodeEmpty(name string, body []byte) error {
	c := newCursor(name, body)
	return c.end()
}
