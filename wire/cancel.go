package wire

import "fmt"

// Lengths of a cancel key. Protocol 3.0 has exactly MinCancelKey bytes; PostgreSQL sends
// 32 in protocol 3.2.
const (
	MinCancelKey = 4
	MaxCancelKey = 256
)

// BackendKeyData tells a client what it has to send in a CancelRequest.
type BackendKeyData struct {
	PID uint32
	Key []byte // 4 bytes in protocol 3.0, 4 to 256 in 3.2
}

func (*BackendKeyData) backend() {}

// AppendTo appends the message to b.
func (m *BackendKeyData) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeBackendKeyData)
	b = appendUint32(b, m.PID)
	b = appendKey(b, m.Key, "BackendKeyData")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *BackendKeyData) Decode(body []byte) error {
	c := newCursor("BackendKeyData", body)
	m.PID = c.uint32()
	m.Key = c.key()
	return c.end()
}

// A CancelRequest asks, on a connection of its own, to cancel what a session is doing. No
// answer ever comes.
type CancelRequest struct {
	PID uint32
	Key []byte
}

func (*CancelRequest) frontend() {}
func (*CancelRequest) startup()  {}

// AppendTo appends the message to b.
func (m *CancelRequest) AppendTo(b []byte) []byte {
	b, at := beginUntyped(b)
	b = appendUint32(b, codeCancelRequest)
	b = appendUint32(b, m.PID)
	b = appendKey(b, m.Key, "CancelRequest")
	return endUntyped(b, at)
}

// Decode reads the message from its body, which begins with the code.
func (m *CancelRequest) Decode(body []byte) error {
	c := newCursor("CancelRequest", body)
	if c.uint32() != codeCancelRequest {
		c.fail("invalid startup packet")
	}
	m.PID = c.uint32()
	m.Key = c.key()
	if c.err != nil {
		c.err.Severity = SeverityFatal
	}
	return c.end()
}

func appendKey(b, key []byte, message string) []byte {
	if n := len(key); n < MinCancelKey || n > MaxCancelKey {
		panic(&EncodeError{Message: message, Reason: fmt.Sprintf("cancel key of %d bytes, not %d to %d", n, MinCancelKey, MaxCancelKey)})
	}
	return append(b, key...)
}

func (c *cursor) key() []byte {
	n := c.left()
	if c.err == nil && (n < MinCancelKey || n > MaxCancelKey) {
		c.fail(fmt.Sprintf("invalid cancel key length %d", n))
	}
	return c.rest()
}
