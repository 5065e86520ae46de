package wire

import "fmt"

// Bind makes a portal from a prepared statement and its parameters.
type Bind struct {
	Portal        string // "" is the unnamed portal
	Statement     string
	ParamFormats  []Format // see [FormatAt]
	Params        [][]byte // nil is NULL
	ResultFormats []Format // see [FormatAt]
}

func (*Bind) frontend() {}

// AppendTo appends the message to b.
func (m *Bind) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeBind)
	b = appendString(b, m.Portal, "Bind")
	b = appendString(b, m.Statement, "Bind")
	b = appendFormats(b, m.ParamFormats, "Bind")
	b = appendValues(b, m.Params, "Bind")
	b = appendFormats(b, m.ResultFormats, "Bind")
	return end(b, at)
}

// Decode reads the message from its body. The parameters share the body's memory.
func (m *Bind) Decode(body []byte) error {
	c := newCursor("Bind", body)
	c.string(&m.Portal)
	c.string(&m.Statement)
	m.ParamFormats = c.formats(m.ParamFormats)
	m.Params = c.values(m.Params)
	m.ResultFormats = c.formats(m.ResultFormats)
	if n := len(m.ParamFormats); c.err == nil && n > 1 && n != len(m.Params) {
		// As exec_bind_message in tcop/postgres.c.
		c.fail(fmt.Sprintf("bind message has %d parameter formats but %d parameters", n, len(m.Params)))
	}
	return c.end()
}

// BindComplete answers Bind.
type BindComplete struct{}

func (*BindComplete) backend() {}

// AppendTo appends the message to b.
func (*BindComplete) AppendTo(b []byte) []byte { return emptyBody(b, TypeBindComplete) }

// Decode reads the message from its body.
func (*BindComplete) Decode(body []byte) error { return decodeEmpty("BindComplete", body) }
