package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A BindPolicy says whether a client binds SCRAM to its TLS channel; libpq's channel_binding.
type BindPolicy uint8

// The values of libpq's channel_binding.
const (
	BindPrefer BindPolicy = iota
	BindRequire
	BindDisable
)

// DefaultMaxIterations is the largest iteration count a client works through unless told
// otherwise: about half a second of one core. A hostile server could ask for hours.
const DefaultMaxIterations = 1_000_000

// SCRAMClient is the client's side of one SCRAM exchange. Set the fields, call Choose, then
// First, then Next with each message of the server. It is not safe for concurrent use.
type SCRAMClient struct {
	Password string
	// Keys replace the password when they are set: the keys of exactly this role's salt and
	// iteration count, as a proxy learns them from SCRAMServer.ClientKey and the verifier.
	Keys *SCRAMKeys

	Binding Binding // nil without TLS
	Policy  BindPolicy
	// BindType is the preferred type; empty means tls-server-end-point, the only one that
	// PostgreSQL knows.
	BindType string
	// MaxIterations bounds what the server may ask for; 0 means DefaultMaxIterations.
	MaxIterations int
	// User is put into the exchange; PostgreSQL ignores it and libpq leaves it empty.
	User string
	// Nonce is the client's nonce; empty means a random one. It is for tests.
	Nonce string

	mechanism string
	gs2       string
	firstBare string
	signature []byte
	state     scramState
	verified  bool
}

// Choose picks the mechanism among those the server offers.
func (c *SCRAMClient) Choose(offered []string) (mechanism string, err error) {
	if c.BindType == "" {
		c.BindType = BindEndPoint
	}
	data, canBind := c.Binding[c.BindType]
	canBind = canBind && len(data) > 0 && c.Policy != BindDisable
	switch plus := slices.Contains(offered, SCRAMSHA256Plus); {
	case plus && canBind:
		c.mechanism, c.gs2 = SCRAMSHA256Plus, "p="+c.BindType+",,"
	case c.Policy == BindRequire && !plus:
		return "", errors.New("channel binding is required, but the server did not offer SCRAM-SHA-256-PLUS")
	case c.Policy == BindRequire:
		return "", errors.New("channel binding is required, but the connection has no TLS to bind to")
	case !slices.Contains(offered, SCRAMSHA256):
		return "", fmt.Errorf("the server offers none of the SASL mechanisms this client can use: %q", offered)
	case canBind: // could have bound, was not offered: lets the server notice a downgrade
		c.mechanism, c.gs2 = SCRAMSHA256, "y,,"
	default:
		c.mechanism, c.gs2 = SCRAMSHA256, "n,,"
	}
	return c.mechanism, nil
}

// First returns the first message, for SASLInitialResponse. Choose comes before it.
func (c *SCRAMClient) First() []byte {
	if c.Nonce == "" {
		c.Nonce = newNonce()
	}
	user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.User)
	c.firstBare = "n=" + user + ",r=" + c.Nonce
	return []byte(c.gs2 + c.firstBare)
}

// Next takes the server's first message and returns the proof, then takes its final message
// and reports done. AuthenticationOk must not be believed before done: see Verified.
func (c *SCRAMClient) Next(in []byte) (out []byte, done bool, err error) {
	state := c.state
	c.state = scramFailed
	if c.firstBare == "" {
		return nil, false, errors.New("SCRAM: the server spoke before the client's first message")
	}
	switch state {
	case awaitFirst:
		out, err = c.proof(string(in))
		if err != nil {
			return nil, false, err
		}
		c.state = awaitFinal
		return out, false, nil
	case awaitFinal:
		if err := c.check(string(in)); err != nil {
			return nil, false, err
		}
		c.state, c.verified = scramDone, true
		return nil, true, nil
	}
	return nil, false, errors.New("SCRAM: a message came after the exchange had ended")
}

// Verified reports whether the server proved that it knows the secret.
func (c *SCRAMClient) Verified() bool { return c.verified }

// Bound reports whether the exchange was bound to the TLS channel and verified.
func (c *SCRAMClient) Bound() bool { return c.verified && c.mechanism == SCRAMSHA256Plus }

func (c *SCRAMClient) proof(serverFirst string) ([]byte, error) {
	nonce, salt, iterations, err := parseServerFirst(serverFirst)
	if err != nil {
		return nil, err
	}
	// Equal length would mean that the server added nothing, which makes replay possible.
	if !strings.HasPrefix(nonce, c.Nonce) || len(nonce) == len(c.Nonce) {
		return nil, errors.New("SCRAM: the server's nonce does not continue the client's")
	}
	limit := c.MaxIterations
	if limit == 0 {
		limit = DefaultMaxIterations
	}
	if iterations > limit {
		return nil, fmt.Errorf("SCRAM: the server asks for %d iterations, more than the %d allowed", iterations, limit)
	}
	keys := c.Keys
	if keys == nil {
		derived, err := deriveKeys(c.Password, salt, iterations)
		if err != nil {
			return nil, err
		}
		keys = &derived
	}
	var data []byte
	if c.mechanism == SCRAMSHA256Plus {
		data = c.Binding[c.BindType]
	}
	final := "c=" + encode64(append([]byte(c.gs2), data...)) + ",r=" + nonce
	authMessage := c.firstBare + "," + serverFirst + "," + final
	stored := sha256.Sum256(keys.ClientKey)
	proof := make([]byte, keyLen)
	if n := subtle.XORBytes(proof, keys.ClientKey, hmac256(stored[:], authMessage)); n != keyLen {
		return nil, fmt.Errorf("SCRAM: the client key has %d bytes instead of %d", n, keyLen)
	}
	c.signature = hmac256(keys.ServerKey, authMessage)
	return []byte(final + ",p=" + encode64(proof)), nil
}

func parseServerFirst(msg string) (nonce string, salt []byte, iterations int, err error) {
	bad := func(what string) error { return fmt.Errorf("SCRAM: the server's first message has %s", what) }
	if strings.HasPrefix(msg, "m=") {
		return "", nil, 0, bad("an extension this client does not know")
	}
	nonce, rest, _, err := attr(msg, 'r')
	if err != nil || !validNonce(nonce) {
		return "", nil, 0, bad("no valid nonce")
	}
	saltText, rest, _, err := attr(rest, 's')
	if err != nil {
		return "", nil, 0, bad("no salt")
	}
	if salt, err = decode64(saltText); err != nil || len(salt) == 0 || len(salt) > maxSaltLen {
		return "", nil, 0, bad("no valid salt")
	}
	count, _, _, err := attr(rest, 'i')
	if err != nil {
		return "", nil, 0, bad("no iteration count")
	}
	if iterations, err = strconv.Atoi(count); err != nil || iterations < 1 {
		return "", nil, 0, bad("no valid iteration count")
	}
	return nonce, salt, iterations, nil
}

func (c *SCRAMClient) check(serverFinal string) error {
	if reason, _, _, err := attr(serverFinal, 'e'); err == nil {
		return fmt.Errorf("SCRAM: the server refused the proof: %s", sanitize(reason))
	}
	text, _, _, err := attr(serverFinal, 'v')
	if err != nil {
		return errors.New("SCRAM: the server's final message has no signature")
	}
	signature, err := decode64(text)
	if err != nil || !hmac.Equal(signature, c.signature) {
		return errors.New("SCRAM: the server's signature is wrong: it does not know this role's secret")
	}
	return nil
}
