package wire

// AuthenticationGSS asks for a GSSAPI exchange.
type AuthenticationGSS struct{}

func (*AuthenticationGSS) backend() {}

// AppendTo appends the message to b.
func (*AuthenticationGSS) AppendTo(b []byte) []byte { return appendAuth(b, AuthGSS) }

// Decode reads the message from its body.
func (*AuthenticationGSS) Decode(body []byte) error {
	return decodeAuth("AuthenticationGSS", body, AuthGSS)
}

// AuthenticationGSSContinue carries GSSAPI or SSPI data.
type AuthenticationGSSContinue struct {
	Data []byte
}

func (*AuthenticationGSSContinue) backend() {}

// AppendTo appends the message to b.
func (m *AuthenticationGSSContinue) AppendTo(b []byte) []byte {
	b, at := beginAuth(b, AuthGSSContinue)
	return end(append(b, m.Data...), at)
}

// Decode reads the message from its body.
func (m *AuthenticationGSSContinue) Decode(body []byte) error {
	c := authCursor("AuthenticationGSSContinue", body, AuthGSSContinue)
	m.Data = c.rest()
	return c.end()
}

// AuthenticationSSPI asks for an SSPI exchange, as servers on Windows do.
type AuthenticationSSPI struct{}

func (*AuthenticationSSPI) backend() {}

// AppendTo appends the message to b.
func (*AuthenticationSSPI) AppendTo(b []byte) []byte { return appendAuth(b, AuthSSPI) }

// Decode reads the message from its body.
func (*AuthenticationSSPI) Decode(body []byte) error {
	return decodeAuth("AuthenticationSSPI", body, AuthSSPI)
}

// A GSSResponse carries GSSAPI or SSPI data from the client.
type GSSResponse struct {
	Data []byte
}

func (*GSSResponse) frontend() {}

// AppendTo appends the message to b.
func (m *GSSResponse) AppendTo(b []byte) []byte { return appendResponse(b, m.Data) }

// Decode reads the message from its body. Data is the body itself.
func (m *GSSResponse) Decode(body []byte) error {
	m.Data = body
	return nil
}
