package wire

import "fmt"

// A FunctionCall calls a function by its OID. New programs use a prepared SELECT.
type FunctionCall struct {
	OID          uint32
	ArgFormats   []Format // see [FormatAt]
	Args         [][]byte // nil is NULL
	ResultFormat Format
}

func (*FunctionCall) frontend() {}

// AppendTo appends the message to b.
func (m *FunctionCall) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeFunctionCall)
	b = appendUint32(b, m.OID)
	b = appendFormats(b, m.ArgFormats, "FunctionCall")
	b = appendValues(b, m.Args, "FunctionCall")
	b = appendInt16(b, int16(m.ResultFormat))
	return end(b, at)
}

// Decode reads the message from its body. The arguments share the body's memory.
func (m *FunctionCall) Decode(body []byte) error {
	c := newCursor("FunctionCall", body)
	m.OID = c.uint32()
	m.ArgFormats = c.formats(m.ArgFormats)
	m.Args = c.values(m.Args)
	m.ResultFormat = Format(c.uint16())
	if n := len(m.ArgFormats); c.err == nil && n > 1 && n != len(m.Args) {
		// As parse_fcall_arguments in tcop/fastpath.c.
		c.fail(fmt.Sprintf("function call message contains %d argument formats but %d arguments", n, len(m.Args)))
	}
	return c.end()
}

// A FunctionCallResponse carries a function's result; nil is NULL.
type FunctionCallResponse struct {
	Result []byte
}

func (*FunctionCallResponse) backend() {}

// AppendTo appends the message to b.
func (m *FunctionCallResponse) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeFunctionCallResponse)
	b = AppendValue(b, m.Result)
	return end(b, at)
}

// Decode reads the message from its body.
func (m *FunctionCallResponse) Decode(body []byte) error {
	c := newCursor("FunctionCallResponse", body)
	m.Result = c.value()
	return c.end()
}
