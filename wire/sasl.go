package wire

// AuthenticationSASL offers SASL mechanisms, best first, for instance "SCRAM-SHA-256".
type AuthenticationSASL struct {
	Mechanisms []string
}

func (*AuthenticationSASL) backend() {}

// AppendTo appends the message to b.
func (m *AuthenticationSASL) AppendTo(b []byte) []byte {
	b, at := beginAuth(b, AuthSASL)
	for _, s := range m.Mechanisms {
		if s == "" {
			panic(&EncodeError{Message: "AuthenticationSASL", Reason: "mechanism without a name"})
		}
		b = appendString(b, s, "AuthenticationSASL")
	}
	return end(append(b, 0), at)
}

// Decode reads the message from its body.
func (m *AuthenticationSASL) Decode(body []byte) error {
	c := authCursor("AuthenticationSASL", body, AuthSASL)
	m.Mechanisms = m.Mechanisms[:0]
	for c.err == nil {
		var s string
		c.string(&s)
		if s == "" {
			break
		}
		m.Mechanisms = append(m.Mechanisms, s)
	}
	return c.end()
}

// AuthenticationSASLContinue carries a challenge.
type AuthenticationSASLContinue struct {
	Data []byte
}

func (*AuthenticationSASLContinue) backend() {}

// AppendTo appends the message to b.
func (m *AuthenticationSASLContinue) AppendTo(b []byte) []byte {
	b, at := beginAuth(b, AuthSASLContinue)
	return end(append(b, m.Data...), at)
}

// Decode reads the message from its body.
func (m *AuthenticationSASLContinue) Decode(body []byte) error {
	c := authCursor("AuthenticationSASLContinue", body, AuthSASLContinue)
	m.Data = c.rest()
	return c.end()
}

// AuthenticationSASLFinal carries what the mechanism says at its end; AuthenticationOk
// follows.
type AuthenticationSASLFinal struct {
	Data []byte
}

func (*AuthenticationSASLFinal) backend() {}

// AppendTo appends the message to b.
func (m *AuthenticationSASLFinal) AppendTo(b []byte) []byte {
	b, at := beginAuth(b, AuthSASLFinal)
	return end(append(b, m.Data...), at)
}

// Decode reads the message from its body.
func (m *AuthenticationSASLFinal) Decode(body []byte) error {
	c := authCursor("AuthenticationSASLFinal", body, AuthSASLFinal)
	m.Data = c.rest()
	return c.end()
}

// A SASLInitialResponse picks a mechanism.
type SASLInitialResponse struct {
	Mechanism string
	Data      []byte // nil: the mechanism's first data comes later
}

func (*SASLInitialResponse) frontend() {}

// AppendTo appends the message to b.
func (m *SASLInitialResponse) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeAuthResponse)
	b = appendString(b, m.Mechanism, "SASLInitialResponse")
	b = AppendValue(b, m.Data)
	return end(b, at)
}

// Decode reads the message from its body.
func (m *SASLInitialResponse) Decode(body []byte) error {
	c := newCursor("SASLInitialResponse", body)
	c.string(&m.Mechanism)
	m.Data = c.value()
	return c.end()
}

// A SASLResponse carries the answer to a challenge.
type SASLResponse struct {
	Data []byte
}

func (*SASLResponse) frontend() {}

// AppendTo appends the message to b.
func (m *SASLResponse) AppendTo(b []byte) []byte { return appendResponse(b, m.Data) }

// Decode reads the message from its body. Data is the body itself.
func (m *SASLResponse) Decode(body []byte) error {
	m.Data = body
	return nil
}
