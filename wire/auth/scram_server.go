package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
)

// SASL mechanism names and message limits.
const (
	SCRAMSHA256     = "SCRAM-SHA-256"
	SCRAMSHA256Plus = "SCRAM-SHA-256-PLUS"
	OAuthBearer     = "OAUTHBEARER"

	// MaxSCRAMMessage is the longest message of a SCRAM client, PG_MAX_SASL_MESSAGE_LENGTH.
	MaxSCRAMMessage = 1024
	// MaxOAuthMessage is the longest message of an OAuth client, PG_MAX_AUTH_TOKEN_LENGTH.
	MaxOAuthMessage = 65535

	rawNonceLen = 18 // SCRAM_RAW_NONCE_LEN
)

// SCRAMServer is the server's side of one SCRAM exchange. Set the fields, then pass each
// client message to Next. It serves one connection once and is not safe for concurrent use.
type SCRAMServer struct {
	User   string // the startup message's user: SCRAM's own user name is ignored, as PostgreSQL does
	Secret Secret // what to check; a MockSecret always fails

	// Mechanism is what the client chose of the offer.
	Mechanism string
	// Binding is the connection's channel binding data. When it is not nil, the -PLUS
	// mechanism was offered: a client that says it could bind but believes that the server
	// cannot is then refused, because somebody took the offer away on its path.
	Binding Binding

	// SaltKey, when set, makes the salt of a plain Secret depend on it and the user alone, as
	// MockSecret's does, so that a role's salt does not change from one try to the next.
	SaltKey []byte

	// Nonce is this server's part of the nonce; empty means a random one. It is for tests.
	Nonce string

	state       scramState
	flag        byte   // gs2-cbind-flag: 'n', 'y' or 'p'
	bindType    string // with flag 'p'
	gs2         string // the header, as it came
	firstBare   string
	clientNonce string
	serverFirst string
	clientKey   []byte
}

type scramState uint8

const (
	awaitFirst scramState = iota
	awaitFinal
	scramDone
	scramFailed
)

// Mechanisms lists what a server offers for SCRAM, best first.
func Mechanisms(b Binding) []string {
	if b != nil {
		return []string{SCRAMSHA256Plus, SCRAMSHA256}
	}
	return []string{SCRAMSHA256}
}

// Next takes a client message and returns the answer. After the client's last message done is
// true and out belongs into AuthenticationSASLFinal, followed by AuthenticationOk. An error
// ends the connection; the machine answers nothing after it.
func (s *SCRAMServer) Next(in []byte) (out []byte, done bool, err error) {
	state := s.state
	s.state = scramFailed
	if err := checkSASL(in, MaxSCRAMMessage); err != nil {
		return nil, false, err
	}
	switch state {
	case awaitFirst:
		if err := s.first(string(in)); err != nil {
			return nil, false, err
		}
		s.state = awaitFinal
		return []byte(s.serverFirst), false, nil
	case awaitFinal:
		final, err := s.final(string(in))
		if err != nil {
			return nil, false, err
		}
		s.state = scramDone
		return final, true, nil
	}
	return nil, false, violation("unexpected SASL message", "The exchange has ended.")
}

// ClientKey returns the client key the proof revealed, once the exchange is done: with it a
// proxy can log in upstream as this client. It is nil before that.
func (s *SCRAMServer) ClientKey() []byte {
	if s.state != scramDone {
		return nil
	}
	return s.clientKey
}

func checkSASL(in []byte, limit int) error {
	switch {
	case len(in) == 0:
		return malformed("The message is empty.")
	case len(in) > limit:
		return malformed("The message is longer than %d bytes.", limit)
	case strings.IndexByte(string(in), 0) >= 0:
		return malformed("Message length does not match input length.")
	}
	return nil
}

func (s *SCRAMServer) first(msg string) error {
	rest, err := s.gs2Header(msg)
	if err != nil {
		return err
	}
	s.gs2 = msg[:len(msg)-len(rest)]
	s.firstBare = rest
	if strings.HasPrefix(rest, "m=") {
		return &Error{Code: CodeFeatureNotSupported, Message: "client requires an unsupported SCRAM extension"}
	}
	_, rest, final, err := attr(rest, 'n')
	if err != nil {
		return err
	}
	if final {
		return malformed("Attribute %q expected but the message ended.", "r")
	}
	s.clientNonce, rest, final, err = attr(rest, 'r')
	if err != nil {
		return err
	}
	if !validNonce(s.clientNonce) {
		return malformed("Non-printable characters in SCRAM nonce.")
	}
	for !final { // extensions are allowed and ignored
		if _, _, rest, final, err = anyAttr(rest); err != nil {
			return err
		}
	}
	return s.prepare()
}

// gs2Header reads "n,,", "y,," or "p=<type>,," and checks it against the mechanism.
func (s *SCRAMServer) gs2Header(msg string) (rest string, err error) {
	plus := s.Mechanism == SCRAMSHA256Plus
	if s.Mechanism != SCRAMSHA256 && !plus {
		return "", violation("client selected an invalid SASL authentication mechanism", "")
	}
	if plus && s.Binding == nil {
		return "", violation("client selected an invalid SASL authentication mechanism",
			"Channel binding is not available on this connection.")
	}
	s.flag = msg[0]
	rest = msg[1:]
	switch s.flag {
	case 'n':
		if plus {
			return "", malformed("The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.")
		}
	case 'y':
		if plus {
			return "", malformed("The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.")
		}
		if s.Binding != nil {
			return "", &Error{
				Code: CodeInvalidAuthorization, Message: "SCRAM channel binding negotiation error",
				Detail: "The client supports SCRAM channel binding but thinks the server does not. However, this server does support channel binding.",
			}
		}
	case 'p':
		if !plus {
			return "", malformed("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.")
		}
		value, tail, final, err := attr(msg, 'p')
		if err != nil {
			return "", err
		}
		if _, ok := s.Binding[value]; !ok {
			return "", violation(fmt.Sprintf("unsupported SCRAM channel-binding type %q", sanitize(value)), "")
		}
		if final {
			return "", malformed("Comma expected, but the message ended.")
		}
		s.bindType = value
		rest = "," + tail
	default:
		return "", malformed("Unexpected channel-binding flag %q.", printable(s.flag))
	}
	if rest == "" || rest[0] != ',' {
		return "", malformed("Comma expected after the channel-binding flag.")
	}
	rest = rest[1:]
	if strings.HasPrefix(rest, "a=") {
		return "", &Error{Code: CodeFeatureNotSupported, Message: "client uses authorization identity, but it is not supported"}
	}
	if rest == "" || rest[0] != ',' {
		return "", malformed("Unexpected attribute in client-first-message.")
	}
	return rest[1:], nil
}

// prepare decides the secret and writes the server's first message. The costly key derivation
// of a plain secret happens only here, after a well-formed first message.
func (s *SCRAMServer) prepare() error {
	switch s.Secret.Kind {
	case SCRAMSecret:
	case PlainSecret:
		salt := make([]byte, saltLen)
		if s.SaltKey != nil {
			copy(salt, hmac256(s.SaltKey, s.User))
		} else {
			rand.Read(salt)
		}
		derived, err := DeriveSCRAMSecret(s.Secret.Plain, salt, s.Secret.Iterations)
		if err != nil {
			return &Error{Code: CodeInternal, Message: "SCRAM is not possible now", Log: err.Error()}
		}
		derived.mock = s.Secret.mock
		s.Secret = derived
	default:
		return PasswordFailed(s.User, "the role has no secret that SCRAM can check")
	}
	if s.Nonce == "" {
		s.Nonce = newNonce()
	}
	s.serverFirst = fmt.Sprintf("r=%s%s,s=%s,i=%d", s.clientNonce, s.Nonce, encode64(s.Secret.Salt), s.Secret.Iterations)
	return nil
}

func (s *SCRAMServer) final(msg string) ([]byte, error) {
	bind, rest, final, err := attr(msg, 'c')
	if err != nil {
		return nil, err
	}
	if final {
		return nil, malformed("Attribute %q expected but the message ended.", "r")
	}
	if err := s.checkBinding(bind); err != nil {
		return nil, err
	}
	nonce, rest, final, err := attr(rest, 'r')
	if err != nil {
		return nil, err
	}
	var proofText string
	for proofText == "" { // extensions come before the proof, which is last
		if final {
			return nil, malformed("Attribute %q expected but the message ended.", "p")
		}
		var name byte
		var value string
		if name, value, rest, final, err = anyAttr(rest); err != nil {
			return nil, err
		}
		if name == 'p' {
			if !final {
				return nil, malformed("Garbage found at the end of client-final-message.")
			}
			if value == "" {
				return nil, malformed("Malformed proof in client-final-message.")
			}
			proofText = value
		}
	}
	proof, err := decode64(proofText)
	if err != nil || len(proof) != keyLen {
		return nil, malformed("Malformed proof in client-final-message.")
	}
	if subtle.ConstantTimeCompare([]byte(nonce), []byte(s.clientNonce+s.Nonce)) != 1 {
		return nil, violation("invalid SCRAM response", "Nonce does not match.")
	}
	withoutProof := msg[:len(msg)-len(",p=")-len(proofText)]
	return s.verify(s.firstBare+","+s.serverFirst+","+withoutProof, proof)
}

// checkBinding compares "c=", which repeats the gs2 header and adds the binding data.
func (s *SCRAMServer) checkBinding(c string) error {
	want := encode64(append([]byte(s.gs2), s.Binding[s.bindType]...)) // no type: the header alone
	if subtle.ConstantTimeCompare([]byte(c), []byte(want)) == 1 {
		return nil
	}
	if s.flag == 'p' {
		return &Error{Code: CodeInvalidAuthorization, Message: "SCRAM channel binding check failed"}
	}
	return violation("unexpected SCRAM channel-binding attribute in client-final-message", "")
}

func (s *SCRAMServer) verify(authMessage string, proof []byte) ([]byte, error) {
	signature := hmac256(s.Secret.StoredKey, authMessage)
	clientKey := make([]byte, keyLen)
	subtle.XORBytes(clientKey, proof, signature)
	stored := sha256.Sum256(clientKey)
	// Both are always computed, so that a mock takes as long as a real role.
	if ok := hmac.Equal(stored[:], s.Secret.StoredKey); !ok || s.Secret.mock {
		return nil, PasswordFailed(s.User, "the SCRAM proof does not match")
	}
	s.clientKey = clientKey
	return []byte("v=" + encode64(hmac256(s.Secret.ServerKey, authMessage))), nil
}

func newNonce() string {
	raw := make([]byte, rawNonceLen)
	rand.Read(raw)
	return encode64(raw)
}

// sanitize shows a stranger's word safely and shortly (sanitize_str).
func sanitize(s string) string {
	if len(s) > 30 {
		s = s[:30]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7E {
			return '?'
		}
		return r
	}, s)
}
