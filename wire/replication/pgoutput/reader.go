package pgoutput

import (
	"bytes"
	"encoding/binary"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A reader reads the fields of one message. After the first thing that is not there all
// is zero and err says what is wrong.
type reader struct {
	b         []byte
	streaming bool
	err       string
}

func (r *reader) left() int { return len(r.b) }

func (r *reader) fail(why string) {
	if r.err == "" {
		r.err = why
	}
	r.b = nil
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail("it is too short")
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if v := r.bytes(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if v := r.bytes(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.bytes(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) lsn() wire.LSN { return wire.LSN(r.uint64()) }

func (r *reader) time() wire.Timestamp { return wire.Timestamp(r.uint64()) }

func (r *reader) string() string {
	n := bytes.IndexByte(r.b, 0)
	if n < 0 {
		r.fail("a string has no end")
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n+1:]
	return s
}

// xid reads the id that changes have inside a segment.
func (r *reader) xid() uint32 {
	if !r.streaming {
		return 0
	}
	xid := r.uint32()
	if xid == 0 {
		r.fail("it has no transaction")
	}
	return xid
}

// flags reads a byte that has no meaning yet and has to be 0.
func (r *reader) flags() {
	if r.byte() != 0 {
		r.fail("it has unknown flags")
	}
}

// begin appends the type byte, and the id that changes have inside a segment.
func begin(b []byte, t byte, xid uint32) []byte {
	b = append(b, t)
	if xid != 0 {
		b = appendUint32(b, xid)
	}
	return b
}

func appendUint16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

func appendUint64[T ~uint64 | ~int64](b []byte, v T) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(v))
}

func appendString(b []byte, s string) []byte {
	if bytes.IndexByte([]byte(s), 0) >= 0 {
		panic(&wire.EncodeError{Message: "logical replication message", Reason: "NUL byte in a string"})
	}
	b = append(b, s...)
	return append(b, 0)
}

func appendCount(b []byte, n int) []byte {
	if n > 1<<16-1 {
		panic(&wire.EncodeError{Message: "logical replication message", Reason: "more than 65535 columns"})
	}
	return appendUint16(b, uint16(n))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
