package wire

import "slices"

// Parse makes a prepared statement.
type Parse struct {
	Name      string // "" is the unnamed statement
	SQL       string
	ParamOIDs []uint32 // types of the first parameters; 0, or none, leaves one to the server
}

func (*Parse) frontend() {}

// AppendTo appends the message to b.
func (m *Parse) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeParse)
	b = appendString(b, m.Name, "Parse")
	b = appendString(b, m.SQL, "Parse")
	b = appendOIDs(b, m.ParamOIDs, "Parse")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *Parse) Decode(body []byte) error {
	c := newCursor("Parse", body)
	c.string(&m.Name)
	c.string(&m.SQL)
	m.ParamOIDs = c.oids(m.ParamOIDs)
	return c.end()
}

// ParseComplete answers Parse.
type ParseComplete struct{}

func (*ParseComplete) backend() {}

// AppendTo appends the message to b.
func (*ParseComplete) AppendTo(b []byte) []byte { return emptyBody(b, TypeParseComplete) }

// Decode reads the message from its body.
func (*ParseComplete) Decode(body []byte) error { return decodeEmpty("ParseComplete", body) }

// A ParameterDescription tells the types of a statement's parameters.
type ParameterDescription struct {
	OIDs []uint32
}

func (*ParameterDescription) backend() {}

// AppendTo appends the message to b.
func (m *ParameterDescription) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeParameterDescription)
	b = appendOIDs(b, m.OIDs, "ParameterDescription")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *ParameterDescription) Decode(body []byte) error {
	c := newCursor("ParameterDescription", body)
	m.OIDs = c.oids(m.OIDs)
	return c.end()
}

func appendOIDs(b []byte, oids []uint32, message string) []byte {
	b = appendCount(b, len(oids), message)
	for _, oid := range oids {
		b = appendUint32(b, oid)
	}
	return b
}

func (c *cursor) oids(dst []uint32) []uint32 {
	n := c.count(4)
	dst = slices.Grow(dst[:0], n)
	for range n {
		dst = append(dst, c.uint32())
	}
	return dst
}
