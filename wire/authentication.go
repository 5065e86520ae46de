package wire

import "fmt"

// An AuthCode is the code that an Authentication message begins with (libpq/protocol.h).
type AuthCode uint32

// The codes there are. 1 (Kerberos 4) and 4 (crypt) are gone since protocol 3 began.
const (
	AuthOK                AuthCode = 0
	AuthKerberosV5        AuthCode = 2
	AuthCleartextPassword AuthCode = 3
	AuthMD5Password       AuthCode = 5
	AuthSCMCredential     AuthCode = 6
	AuthGSS               AuthCode = 7
	AuthGSSContinue       AuthCode = 8
	AuthSSPI              AuthCode = 9
	AuthSASL              AuthCode = 10
	AuthSASLContinue      AuthCode = 11
	AuthSASLFinal         AuthCode = 12
)

// AuthenticationCode returns the code in the body of an Authentication message.
func AuthenticationCode(body []byte) (AuthCode, error) {
	c := newCursor("Authentication", body)
	code := AuthCode(c.uint32())
	if c.err != nil {
		return 0, c.err
	}
	return code, nil
}

func unsupportedAuth(code AuthCode) *Error {
	return protocolViolation(fmt.Sprintf("authentication method %d not supported", code))
}

// AuthenticationOk says that the client is let in.
type AuthenticationOk struct{}

func (*AuthenticationOk) backend() {}

// AppendTo appends the message to b.
func (*AuthenticationOk) AppendTo(b []byte) []byte { return appendAuth(b, AuthOK) }

// Decode reads the message from its body.
func (*AuthenticationOk) Decode(body []byte) error {
	return decodeAuth("AuthenticationOk", body, AuthOK)
}

// AuthenticationKerberosV5 asks for Kerberos 5. No server has sent it since 9.4.
type AuthenticationKerberosV5 struct{}

func (*AuthenticationKerberosV5) backend() {}

// AppendTo appends the message to b.
func (*AuthenticationKerberosV5) AppendTo(b []byte) []byte { return appendAuth(b, AuthKerberosV5) }

// Decode reads the message from its body.
func (*AuthenticationKerberosV5) Decode(body []byte) error {
	return decodeAuth("AuthenticationKerberosV5", body, AuthKerberosV5)
}

// AuthenticationCleartextPassword asks for the password as it is.
type AuthenticationCleartextPassword struct{}

func (*AuthenticationCleartextPassword) backend() {}

// AppendTo appends the message to b.
func (*AuthenticationCleartextPassword) AppendTo(b []byte) []byte {
	return appendAuth(b, AuthCleartextPassword)
}

// Decode reads the message from its body.
func (*AuthenticationCleartextPassword) Decode(body []byte) error {
	return decodeAuth("AuthenticationCleartextPassword", body, AuthCleartextPassword)
}

// AuthenticationMD5Password asks for "md5" and the hexadecimal MD5 of the hexadecimal MD5
// of password and user, followed by the salt.
type AuthenticationMD5Password struct {
	Salt [4]byte
}

func (*AuthenticationMD5Password) backend() {}

// AppendTo appends the message to b.
func (m *AuthenticationMD5Password) AppendTo(b []byte) []byte {
	b, at := beginAuth(b, AuthMD5Password)
	b = append(b, m.Salt[:]...)
	return end(b, at)
}

// Decode reads the message from its body.
func (m *AuthenticationMD5Password) Decode(body []byte) error {
	c := authCursor("AuthenticationMD5Password", body, AuthMD5Password)
	copy(m.Salt[:], c.bytes(4))
	return c.end()
}

// AuthenticationSCMCredential asks for credentials over a unix socket. No server has sent
// it since 9.1.
type AuthenticationSCMCredential struct{}

func (*AuthenticationSCMCredential) backend() {}

// AppendTo appends the message to b.
func (*AuthenticationSCMCredential) AppendTo(b []byte) []byte {
	return appendAuth(b, AuthSCMCredential)
}

// Decode reads the message from its body.
func (*AuthenticationSCMCredential) Decode(body []byte) error {
	return decodeAuth("AuthenticationSCMCredential", body, AuthSCMCredential)
}

func beginAuth(b []byte, code AuthCode) ([]byte, int) {
	b, at := Begin(b, TypeAuthentication)
	return appendUint32(b, uint32(code)), at
}

func appendAuth(b []byte, code AuthCode) []byte {
	b, at := beginAuth(b, code)
	return end(b, at)
}

func authCursor(name string, body []byte, code AuthCode) cursor {
	c := newCursor(name, body)
	if got := AuthCode(c.uint32()); c.err == nil && got != code {
		c.fail(fmt.Sprintf("authentication code %d where %d was expected", got, code))
	}
	return c
}

func decodeAuth(name string, body []byte, code AuthCode) error {
	c := authCursor(name, body, code)
	return c.end()
}
