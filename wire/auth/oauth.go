package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A BearerRequest is one token to be judged. Token must not be logged.
type BearerRequest struct {
	Token    string
	User     string // the role the client wants to be
	Database string
	Addr     netip.Addr
}

// A BearerResult is a validator's judgement, PostgreSQL 18's ValidatorModuleResult.
type BearerResult struct {
	// Identity is who the token says its bearer is. It is mapped to the role by pg_ident
	// maps, or must be the role's name, unless the rule delegates that to the validator.
	Identity string
	// Authorized says that the token is valid and may be used here.
	Authorized bool
}

// A Validator judges bearer tokens. An error is a fault of the server; a token that is not
// good is a result with Authorized false. It is called by several goroutines at once.
type Validator interface {
	Validate(ctx context.Context, req BearerRequest) (BearerResult, error)
}

// ValidatorFunc makes a Validator of a function.
type ValidatorFunc func(ctx context.Context, req BearerRequest) (BearerResult, error)

// Validate calls f.
func (f ValidatorFunc) Validate(ctx context.Context, req BearerRequest) (BearerResult, error) {
	return f(ctx, req)
}

// OAuthServer is the server's side of one OAUTHBEARER exchange (RFC 7628,
// src/backend/libpq/auth-oauth.c). Next takes the client's messages. It serves one connection
// once and is not safe for concurrent use.
type OAuthServer struct {
	Request   BearerRequest // Token is filled in from the message
	Validator Validator
	Issuer    string // told to a client without a token, which looks up the flow there
	Scope     string // space-separated scopes a token needs

	state    scramState
	identity string
}

const kvsep = "\x01"

// Next takes a client message. When a token is good, done is true with no answer: the caller
// sends AuthenticationOk. When it is not, out is the JSON that says how to get a token, for
// AuthenticationSASLContinue; the client's next message is then answered by an error.
func (s *OAuthServer) Next(ctx context.Context, in []byte) (out []byte, done bool, err error) {
	state := s.state
	s.state = scramFailed
	if len(in) > MaxOAuthMessage {
		return nil, false, malformedBearer(fmt.Sprintf("The message is longer than %d bytes.", MaxOAuthMessage))
	}
	switch state {
	case awaitFirst:
		token, err := parseBearer(string(in))
		if err != nil {
			return nil, false, err
		}
		if token != "" {
			s.Request.Token = token
			res, err := s.Validator.Validate(ctx, s.Request)
			s.Request.Token = ""
			if err != nil {
				return nil, false, &Error{Code: CodeInternal, Message: "internal error in OAuth validator module", Log: err.Error()}
			}
			if res.Authorized {
				s.state, s.identity = scramDone, res.Identity
				return nil, true, nil
			}
		}
		s.state = awaitFinal
		return s.discovery(), false, nil
	case awaitFinal:
		if string(in) != kvsep {
			return nil, false, malformedBearer("Client did not send a kvsep response.")
		}
		return nil, false, s.refused()
	}
	return nil, false, violation("unexpected SASL message", "The exchange has ended.")
}

// Identity returns who the validator says the client is, once the exchange is done.
func (s *OAuthServer) Identity() string { return s.identity }

func (s *OAuthServer) refused() error {
	return &Error{
		Code:    CodeInvalidAuthorization,
		Message: fmt.Sprintf("OAuth bearer authentication failed for user %q", s.Request.User),
	}
}

func (s *OAuthServer) discovery() []byte {
	config := s.Issuer
	if !strings.Contains(config, "/.well-known/") {
		config = strings.TrimSuffix(config, "/") + "/.well-known/openid-configuration"
	}
	out, err := json.Marshal(struct {
		Status string `json:"status"`
		Config string `json:"openid-configuration"`
		Scope  string `json:"scope"`
	}{"invalid_token", config, s.Scope})
	if err != nil {
		return []byte(`{"status":"invalid_token"}`) // strings always encode
	}
	return out
}

func malformedBearer(detail string) *Error { return violation("malformed OAUTHBEARER message", detail) }

// parseBearer reads "n,,^Aauth=Bearer <token>^A^A" and returns the token, which is empty when
// the client asks where to get one.
func parseBearer(msg string) (string, error) {
	if msg == "" {
		return "", malformedBearer("The message is empty.")
	}
	switch msg[0] {
	case 'n', 'y':
	case 'p':
		return "", malformedBearer("The server does not support channel binding for OAuth, but the client message includes channel binding data.")
	default:
		return "", malformedBearer(fmt.Sprintf("Unexpected channel-binding flag %q.", printable(msg[0])))
	}
	rest, ok := strings.CutPrefix(msg[1:], ",")
	if !ok {
		return "", malformedBearer("Comma expected after the channel-binding flag.")
	}
	if strings.HasPrefix(rest, "a=") {
		return "", &Error{Code: CodeFeatureNotSupported, Message: "client uses authorization identity, but it is not supported"}
	}
	if rest, ok = strings.CutPrefix(rest, ","+kvsep); !ok {
		return "", malformedBearer("Key-value separator expected after the header.")
	}
	var auth string
	found := false
	for rest != kvsep {
		pair, tail, ok := strings.Cut(rest, kvsep)
		key, value, eq := strings.Cut(pair, "=")
		if !ok || !eq || key == "" || strings.Trim(strings.ToLower(key), "abcdefghijklmnopqrstuvwxyz") != "" {
			return "", malformedBearer("Message contains a malformed key-value pair.")
		}
		if key == "auth" {
			if found {
				return "", malformedBearer("Message contains multiple auth values.")
			}
			auth, found = value, true
		}
		rest = tail
	}
	if !found {
		return "", malformedBearer("Message does not contain an auth value.")
	}
	if auth == "" {
		return "", nil
	}
	return bearerToken(auth)
}

// bearerToken takes "Bearer <b64token>" apart (RFC 6750 section 2.1).
func bearerToken(auth string) (string, error) {
	scheme, token, _ := strings.Cut(auth, " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "bearer") || strings.TrimRight(token, "=") == "" {
		return "", malformedBearer("Bearer token is malformed.")
	}
	const b64token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	if strings.Trim(strings.TrimRight(token, "="), b64token) != "" ||
		strings.ContainsFunc(strings.TrimRight(token, "="), func(r rune) bool { return !strings.ContainsRune(b64token, r) }) {
		return "", malformedBearer("Bearer token is malformed.")
	}
	return token, nil
}

// OAuthClient is the client's side of one OAUTHBEARER exchange.
type OAuthClient struct {
	Token string // empty asks the server where to get one

	refused *OAuthDiscovery
}

// OAuthDiscovery is what a server tells a client whose token is missing or no good.
type OAuthDiscovery struct {
	Status string `json:"status"`
	Config string `json:"openid-configuration"`
	Scope  string `json:"scope"`
}

// First returns the first message, for SASLInitialResponse.
func (c *OAuthClient) First() []byte {
	auth := ""
	if c.Token != "" {
		auth = "Bearer " + c.Token
	}
	return []byte("n,," + kvsep + "auth=" + auth + kvsep + kvsep)
}

// Next takes the server's refusal and returns the message that ends the exchange; the server
// then sends its error. What it told is in Discovery.
func (c *OAuthClient) Next(in []byte) ([]byte, error) {
	if c.refused != nil {
		return nil, errors.New("OAUTHBEARER: the server refused twice")
	}
	var d OAuthDiscovery
	if err := json.Unmarshal(in, &d); err != nil {
		return nil, fmt.Errorf("OAUTHBEARER: read the server's refusal: %w", err)
	}
	if d.Status == "" {
		return nil, errors.New("OAUTHBEARER: the server's refusal has no status")
	}
	c.refused = &d
	return []byte(kvsep), nil
}

// Discovery returns what the server told when it refused the token, or nil.
func (c *OAuthClient) Discovery() *OAuthDiscovery { return c.refused }
