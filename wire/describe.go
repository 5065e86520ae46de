package wire

import "fmt"

// A Kind tells prepared statements from portals.
type Kind byte

// What Describe and Close can mean.
const (
	StatementKind Kind = 'S'
	PortalKind    Kind = 'P'
)

// Describe asks for the description of a prepared statement or portal.
type Describe struct {
	Kind Kind
	Name string
}

func (*Describe) frontend() {}

// AppendTo appends the message to b.
func (m *Describe) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeDescribe)
	b = append(b, byte(m.Kind))
	b = appendString(b, m.Name, "Describe")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *Describe) Decode(body []byte) error {
	c := newCursor("Describe", body)
	m.Kind = c.kind("DESCRIBE")
	c.string(&m.Name)
	return c.end()
}

// Close drops a prepared statement or portal. One that is not there is no error.
type Close struct {
	Kind Kind
	Name string
}

func (*Close) frontend() {}

// AppendTo appends the message to b.
func (m *Close) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeClose)
	b = append(b, byte(m.Kind))
	b = appendString(b, m.Name, "Close")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *Close) Decode(body []byte) error {
	c := newCursor("Close", body)
	m.Kind = c.kind("CLOSE")
	c.string(&m.Name)
	return c.end()
}

// CloseComplete answers Close.
type CloseComplete struct{}

func (*CloseComplete) backend() {}

// AppendTo appends the message to b.
func (*CloseComplete) AppendTo(b []byte) []byte { return emptyBody(b, TypeCloseComplete) }

// Decode reads the message from its body.
func (*CloseComplete) Decode(body []byte) error { return decodeEmpty("CloseComplete", body) }

func (c *cursor) kind(message string) Kind {
	k := Kind(c.byte())
	if c.err == nil && k != StatementKind && k != PortalKind {
		c.fail(fmt.Sprintf("invalid %s message subtype %d", message, byte(k)))
	}
	return k
}
