package wire

import (
	"slices"
	"strings"
)

// Codes that stand where a startup message has its version (libpq/pqcomm.h).
const (
	codeCancelRequest = 1234<<16 | 5678
	codeSSLRequest    = 1234<<16 | 5679
	codeGSSENCRequest = 1234<<16 | 5680
)

// A server answers SSLRequest and GSSENCRequest with one byte that is not a message.
const (
	SSLAccepted = 'S'
	GSSAccepted = 'G'
	NotAccepted = 'N'
)

// A StartupPacket is one of the messages without type byte that open a connection:
// [*StartupMessage], [*SSLRequest], [*GSSENCRequest] or [*CancelRequest].
type StartupPacket interface {
	FrontendMessage
	startup()
}

// A Param is a startup parameter.
type Param struct {
	Name, Value string
}

// IsProtocolOption reports whether the parameter is a protocol option, by its prefix
// "_pq_.", rather than a setting.
func (p Param) IsProtocolOption() bool { return strings.HasPrefix(p.Name, "_pq_.") }

// A StartupMessage asks for a session. Names may come twice; the last one holds.
type StartupMessage struct {
	Version Version
	Params  []Param
}

func (*StartupMessage) frontend() {}
func (*StartupMessage) startup()  {}

// Get returns the value of the parameter called name.
func (m *StartupMessage) Get(name string) (string, bool) {
	for _, p := range slices.Backward(m.Params) {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// User returns the parameter "user", which every session has.
func (m *StartupMessage) User() string {
	s, _ := m.Get("user")
	return s
}

// Database returns the parameter "database", whose default is the user's name.
func (m *StartupMessage) Database() string {
	if s, ok := m.Get("database"); ok && s != "" {
		return s
	}
	return m.User()
}

// AppendTo appends the message to b.
func (m *StartupMessage) AppendTo(b []byte) []byte {
	b, at := beginUntyped(b)
	b = appendUint32(b, uint32(m.Version))
	for _, p := range m.Params {
		if p.Name == "" {
			panic(&EncodeError{Message: "StartupMessage", Reason: "parameter without a name"})
		}
		b = appendString(b, p.Name, "StartupMessage")
		b = appendString(b, p.Value, "StartupMessage")
	}
	b = append(b, 0)
	return endUntyped(b, at)
}

// Decode reads the message from its body, which begins with the version. A major version
// other than 3 leaves Params empty: nobody knows what it looks like.
func (m *StartupMessage) Decode(body []byte) error {
	c := newCursor("StartupMessage", body)
	m.Version = Version(c.uint32())
	m.Params = m.Params[:0]
	if c.err == nil && m.Version.Major() != 3 {
		return nil
	}
	for c.err == nil {
		// As ProcessStartupPacket in postmaster/postmaster.c.
		if c.left() == 0 {
			c.fail("invalid startup packet layout: expected terminator as last byte")
			break
		}
		var p Param
		c.string(&p.Name)
		if p.Name == "" {
			break
		}
		c.string(&p.Value)
		m.Params = append(m.Params, p)
	}
	if c.err == nil && c.left() > 0 {
		c.fail("invalid startup packet layout: expected terminator as last byte")
	}
	if c.err != nil {
		c.err.Severity = SeverityFatal
	}
	return c.end()
}

// SSLRequest asks for TLS. The server answers with [SSLAccepted] or [NotAccepted].
type SSLRequest struct{}

func (*SSLRequest) frontend() {}
func (*SSLRequest) startup()  {}

// AppendTo appends the message to b.
func (*SSLRequest) AppendTo(b []byte) []byte {
	return appendUint32(append(b, 0, 0, 0, 8), codeSSLRequest)
}

// Decode reads the message from its body.
func (*SSLRequest) Decode(body []byte) error {
	return decodeCode("SSLRequest", body, codeSSLRequest)
}

// GSSENCRequest asks for GSSAPI encryption. The server answers with [GSSAccepted] or
// [NotAccepted].
type GSSENCRequest struct{}

func (*GSSENCRequest) frontend() {}
func (*GSSENCRequest) startup()  {}

// AppendTo appends the message to b.
func (*GSSENCRequest) AppendTo(b []byte) []byte {
	return appendUint32(append(b, 0, 0, 0, 8), codeGSSENCRequest)
}

// Decode reads the message from its body.
func (*GSSENCRequest) Decode(body []byte) error {
	return decodeCode("GSSENCRequest", body, codeGSSENCRequest)
}

func decodeCode(name string, body []byte, code uint32) error {
	c := newCursor(name, body)
	if c.uint32() != code {
		c.fail("invalid startup packet")
	}
	return c.end()
}

// DecodeStartup decodes the body of a startup packet, whichever it is.
func DecodeStartup(body []byte) (StartupPacket, error) {
	c := newCursor("startup packet", body)
	var m StartupPacket
	switch c.uint32() {
	case codeCancelRequest:
		m = &CancelRequest{}
	case codeSSLRequest:
		m = &SSLRequest{}
	case codeGSSENCRequest:
		m = &GSSENCRequest{}
	default:
		m = &StartupMessage{}
	}
	if c.err != nil {
		c.err.Severity = SeverityFatal
		return nil, c.err
	}
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	return m, nil
}
