package wire

import "fmt"

// A FrontendDecoder decodes a frontend's messages into values that it uses again: each
// result is valid until the next call. Messages longer than 64 KiB get new values, so that
// a decoder that rests holds on to little. The zero value is ready. It is not safe for
// concurrent use.
type FrontendDecoder struct {
	bind         Bind
	close        Close
	describe     Describe
	execute      Execute
	functionCall FunctionCall
	parse        Parse
	query        Query
	copyData     CopyData
	copyFail     CopyFail
	auth         AuthResponse
}

// Decode decodes the body of a message of type t. A message of type 'p' comes back as
// [*AuthResponse], since only its reader knows which request it answers.
func (d *FrontendDecoder) Decode(t Type, body []byte) (FrontendMessage, error) {
	if len(body) > maxReadBuffer {
		d = new(FrontendDecoder)
	}
	m := d.message(t)
	if m == nil {
		return nil, unknownType(Frontend, t)
	}
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	return m, nil
}

func (d *FrontendDecoder) message(t Type) FrontendMessage {
	switch t {
	case TypeBind:
		return &d.bind
	case TypeClose:
		return &d.close
	case TypeDescribe:
		return &d.describe
	case TypeExecute:
		return &d.execute
	case TypeFunctionCall:
		return &d.functionCall
	case TypeParse:
		return &d.parse
	case TypeQuery:
		return &d.query
	case TypeCopyData:
		return &d.copyData
	case TypeCopyFail:
		return &d.copyFail
	case TypeAuthResponse:
		return &d.auth
	case TypeFlush:
		return &Flush{}
	case TypeSync:
		return &Sync{}
	case TypeTerminate:
		return &Terminate{}
	case TypeCopyDone:
		return &CopyDone{}
	}
	return nil
}

// DecodeFrontend decodes the body of a message of type t into a new value, as
// [FrontendDecoder.Decode] does into its own.
func DecodeFrontend(t Type, body []byte) (FrontendMessage, error) {
	return new(FrontendDecoder).Decode(t, body)
}

// unknownType is what SocketBackend in tcop/postgres.c says before it closes the
// connection: after an unknown type nothing can be trusted to be a length.
func unknownType(s Side, t Type) *Error {
	e := protocolViolation(fmt.Sprintf("invalid %s message type %d", s, byte(t)))
	e.Severity = SeverityFatal
	return e
}
