package wire

import (
	"encoding/binary"
	"fmt"
)

// HeaderLen is the size of a message's header: the type byte and the length word.
const HeaderLen = 5

// startupHeaderLen is the size of a startup packet's header, which has no type byte.
const startupHeaderLen = 4

// A Header is the header of a message.
type Header struct {
	Type Type
	Len  int // of the body, without the length word
}

// AppendTo appends the header's bytes to b.
func (h Header) AppendTo(b []byte) []byte {
	return appendInt32(append(b, byte(h.Type)), int32(h.Len+4))
}

// A framing decides which headers are acceptable.
type framing struct {
	from Side
	max  int // upper bound of every limit
}

// parse reads a header of five bytes. limit, if not 0, takes the place of the type's own.
func (f framing) parse(b []byte, limit int) (Header, error) {
	t := Type(b[0])
	n := binary.BigEndian.Uint32(b[1:5])
	if f.from == Backend && n-4 <= MaxSmallMessage-4 && limit == 0 && f.max >= MaxSmallMessage {
		return Header{Type: t, Len: int(n) - 4}, nil // nearly every message, whatever its type
	}
	most, known := f.from.Limit(t)
	if !known && f.from == Frontend {
		return Header{}, unknownType(f.from, t)
	}
	if limit > 0 {
		most = limit
	}
	most = min(most, f.max)
	if n < 4 || uint64(n) > uint64(most) {
		return Header{}, f.badLength(t, n, most)
	}
	return Header{Type: t, Len: int(n) - 4}, nil
}

// checkType refuses a type byte before its length has come, so that garbage is answered at
// once.
func (f framing) checkType(t Type) error {
	if _, known := f.from.Limit(t); !known && f.from == Frontend {
		return unknownType(f.from, t)
	}
	return nil
}

// parseStartup reads the header of a startup packet. The limit is on the body.
func parseStartup(b []byte) (Header, error) {
	n := binary.BigEndian.Uint32(b)
	if n < 8 || n > MaxStartup+4 {
		// As ProcessStartupPacket in postmaster/postmaster.c, which demands room for a version.
		e := protocolViolation("invalid length of startup packet")
		e.Severity = SeverityFatal
		e.Detail = fmt.Sprintf("The length is %d; it has to be 8 to %d.", n, MaxStartup+4)
		return Header{}, e
	}
	return Header{Len: int(n) - 4}, nil
}

func (f framing) badLength(t Type, n uint32, most int) *Error {
	e := protocolViolation("invalid message length")
	e.Severity = SeverityFatal
	e.Detail = fmt.Sprintf("%s message of type %v has length %d; it has to be 4 to %d.", f.from, t, int32(n), most)
	return e
}
