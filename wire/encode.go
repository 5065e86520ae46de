package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// An EncodeError reports a message that the protocol cannot carry: longer than
// [MaxLargeMessage], more than 65,535 elements in a list, or a NUL byte inside a string.
// AppendTo panics with an *EncodeError, as bytes.Buffer does with ErrTooLarge, since only
// a caller's mistake or unchecked data leads there; [Append] and [Writer.Send] return it.
type EncodeError struct {
	Message string // what was encoded, for instance "Query"
	Reason  string // what is wrong with it
}

func (e *EncodeError) Error() string {
	return "encode " + e.Message + ": " + e.Reason
}

// SQLState returns 54000 (program_limit_exceeded), the class PostgreSQL uses for a message
// that outgrows its limits.
func (e *EncodeError) SQLState() string { return string(CodeProgramLimitExceeded) }

// Append appends m to b. On an error b comes back as it was.
func Append(b []byte, m Message) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*EncodeError)
			if !ok {
				panic(r)
			}
			out, err = b, e
		}
	}()
	return m.AppendTo(b), nil
}

// Begin starts a message of type t at the end of b. The caller appends the body and gives
// the returned position to [End]. It is for callers that build a body in place, such as a
// DataRow whose columns are encoded one by one.
func Begin(b []byte, t Type) (out []byte, at int) {
	return append(b, byte(t), 0, 0, 0, 0), len(b) + 1
}

// End writes the length of the message that began at position at into its header. It is
// the one place where a length is computed. A message longer than [MaxLargeMessage] is an
// *EncodeError (an unchecked length would wrap around, and a peer would take the middle of
// the body for a message; compare CVE-2024-27304), and b comes back without it.
func End(b []byte, at int) ([]byte, error) {
	n := len(b) - at
	if n > MaxLargeMessage {
		return tooLong(b, at)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(n))
	return b, nil
}

// tooLong stands by itself so that End is inlined: it is called for each row.
func tooLong(b []byte, at int) ([]byte, error) {
	return b[:at-1], &EncodeError{
		Message: fmt.Sprintf("message of type %v", Type(b[at-1])),
		Reason:  fmt.Sprintf("%d bytes are more than the limit of %d", len(b)-at, MaxLargeMessage),
	}
}

// end is End for AppendTo methods.
func end(b []byte, at int) []byte {
	b, err := End(b, at)
	if err != nil {
		panic(err)
	}
	return b
}

// beginUntyped and endUntyped frame the startup packets, which have no type byte.
func beginUntyped(b []byte) ([]byte, int) { return append(b, 0, 0, 0, 0), len(b) }

func endUntyped(b []byte, at int) []byte {
	n := len(b) - at
	if n > MaxStartup+4 {
		panic(&EncodeError{
			Message: "startup packet",
			Reason:  fmt.Sprintf("%d bytes are more than the limit of %d", n, MaxStartup),
		})
	}
	binary.BigEndian.PutUint32(b[at:], uint32(n))
	return b
}

// AppendValue appends one value of a DataRow, Bind or FunctionCall: its length and its
// bytes, or length -1 for nil, which is NULL. A value that is too long makes its message
// too long, so [End] refuses it.
func AppendValue(b, value []byte) []byte {
	if value == nil {
		return append(b, 0xff, 0xff, 0xff, 0xff)
	}
	n := len(value)
	b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(b, value...)
}

func appendInt16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }

func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// appendString appends s and the NUL that ends it. A NUL inside would end it early and
// turn its rest into another field.
func appendString(b []byte, s, message string) []byte {
	if strings.IndexByte(s, 0) >= 0 {
		panic(&EncodeError{Message: message, Reason: fmt.Sprintf("NUL byte in the string %.40q", s)})
	}
	b = append(b, s...)
	return append(b, 0)
}

// appendCount appends the length of a list as the two unsigned bytes that PostgreSQL reads.
func appendCount(b []byte, n int, message string) []byte {
	if n > math.MaxUint16 {
		panic(&EncodeError{Message: message, Reason: fmt.Sprintf("%d elements are more than the limit of %d", n, math.MaxUint16)})
	}
	return binary.BigEndian.AppendUint16(b, uint16(n))
}

func appendFormats(b []byte, formats []Format, message string) []byte {
	b = appendCount(b, len(formats), message)
	for _, f := range formats {
		b = appendInt16(b, int16(f))
	}
	return b
}

func appendValues(b []byte, values [][]byte, message string) []byte {
	b = appendCount(b, len(values), message)
	for _, v := range values {
		b = AppendValue(b, v)
	}
	return b
}

// emptyBody appends a message that is all header.
func emptyBody(b []byte, t Type) []byte { return append(b, byte(t), 0, 0, 0, 4) }
