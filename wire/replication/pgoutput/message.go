package pgoutput

import (
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Message is one message of the plugin. AppendTo appends it to b; it panics with a
// [*wire.EncodeError] for a string that has a NUL byte or a list that is too long, which
// [Append] returns.
type Message interface {
	AppendTo(b []byte) []byte
	decode(r *reader)
}

// Append appends m to b. On an error b comes back as it was.
func Append(b []byte, m Message) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*wire.EncodeError)
			if !ok {
				panic(r)
			}
			out, err = b, e
		}
	}()
	return m.AppendTo(b), nil
}

// A Decoder decodes messages. Whether some of them begin with a transaction's id depends on
// what came before, so one decoder sees a whole stream. It is not safe for concurrent use.
type Decoder struct {
	streaming bool // between StreamStart and StreamStop
}

// Decode decodes a message into new memory, but for values and contents, which share
// data's. An error is a [*wire.Error] with code 08P01.
func (d *Decoder) Decode(data []byte) (Message, error) {
	r := &reader{b: data, streaming: d.streaming}
	m := newMessage(r.byte())
	if r.err != "" {
		return nil, wire.Errorf(wire.CodeProtocolViolation, "empty logical replication message")
	}
	if m == nil {
		return nil, wire.Errorf(wire.CodeProtocolViolation, "invalid logical replication message type %q", data[0])
	}
	m.decode(r)
	if r.err == "" && r.left() > 0 {
		r.err = fmt.Sprintf("%d bytes too many", r.left())
	}
	if r.err != "" {
		return nil, wire.Errorf(wire.CodeProtocolViolation, "invalid logical replication message %s: %s",
			strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgoutput."), r.err)
	}
	switch m.(type) {
	case *StreamStart:
		d.streaming = true
	case *StreamStop:
		d.streaming = false
	}
	return m, nil
}

func newMessage(first byte) Message {
	switch first {
	case 'B':
		return &Begin{}
	case 'M':
		return &LogicalMessage{}
	case 'C':
		return &Commit{}
	case 'O':
		return &Origin{}
	case 'R':
		return &Relation{}
	case 'Y':
		return &Type{}
	case 'I':
		return &Insert{}
	case 'U':
		return &Update{}
	case 'D':
		return &Delete{}
	case 'T':
		return &Truncate{}
	case 'S':
		return &StreamStart{}
	case 'E':
		return &StreamStop{}
	case 'c':
		return &StreamCommit{}
	case 'A':
		return &StreamAbort{}
	case 'b':
		return &BeginPrepare{}
	case 'P':
		return &Prepare{}
	case 'K':
		return &CommitPrepared{}
	case 'r':
		return &RollbackPrepared{}
	case 'p':
		return &StreamPrepare{}
	}
	return nil
}
