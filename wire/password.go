package wire

// An AuthResponse is a message of type 'p' whose meaning is not known: a
// [PasswordMessage], [SASLInitialResponse], [SASLResponse] or [GSSResponse], by the request
// that it answers. Decode Data as that one.
type AuthResponse struct {
	Data []byte
}

func (*AuthResponse) frontend() {}

// AppendTo appends the message to b.
func (m *AuthResponse) AppendTo(b []byte) []byte { return appendResponse(b, m.Data) }

// Decode reads the message from its body. Data is the body itself.
func (m *AuthResponse) Decode(body []byte) error {
	m.Data = body
	return nil
}

// A PasswordMessage answers a request for a cleartext or MD5 password.
type PasswordMessage struct {
	Password string
}

func (*PasswordMessage) frontend() {}

// AppendTo appends the message to b.
func (m *PasswordMessage) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeAuthResponse)
	b = appendPassword(b, m.Password)
	return end(b, at)
}

// appendPassword is appendString with an error that does not show the string.
func appendPassword(b []byte, password string) []byte {
	for i := range len(password) {
		if password[i] == 0 {
			panic(&EncodeError{Message: "PasswordMessage", Reason: "NUL byte in the password"})
		}
	}
	b = append(b, password...)
	return append(b, 0)
}

// Decode reads the message from its body.
func (m *PasswordMessage) Decode(body []byte) error {
	c := newCursor("PasswordMessage", body)
	c.string(&m.Password)
	return c.end()
}

func appendResponse(b, data []byte) []byte {
	b, at := Begin(b, TypeAuthResponse)
	return end(append(b, data...), at)
}
