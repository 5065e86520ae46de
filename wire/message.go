package wire

import "fmt"

// A Message is one protocol message.
//
// AppendTo appends the whole message, header and all, and panics with an [*EncodeError]
// when the protocol cannot carry it; [Append] and [Writer.Send] return that as an error.
//
// Decode reads the message from its body: what follows the length word, no more and no
// less. Byte slices in the result share the body's memory, and memory that the message
// held before is used again, so that a value that lives as long as its connection decodes
// without allocating. Whoever keeps a slice longer than the body copies it. The error is
// an [*Error] with code 08P01 (protocol_violation) and PostgreSQL's wording; what is in
// the message then is not defined.
type Message interface {
	AppendTo(b []byte) []byte
	Decode(body []byte) error
}

// A FrontendMessage is a message that a frontend sends.
type FrontendMessage interface {
	Message
	frontend()
}

// A BackendMessage is a message that a backend sends.
type BackendMessage interface {
	Message
	backend()
}

// A Format says how a value is written.
type Format int16

// The formats there are.
const (
	Text   Format = 0
	Binary Format = 1
)

// String returns "text" or "binary", or the number for a code that has no meaning yet.
func (f Format) String() string {
	switch f {
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return fmt.Sprintf("format %d", int16(f))
}

// FormatAt returns the format of element i in a list that follows the protocol's rule: no
// codes mean text for all, one code holds for all, else there is one for each.
func FormatAt(formats []Format, i int) Format {
	switch {
	case len(formats) == 0:
		return Text
	case len(formats) == 1:
		return formats[0]
	case i < len(formats):
		return formats[i]
	}
	return Text
}
