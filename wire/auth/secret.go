package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// SCRAM's sizes and default (src/include/common/scram-common.h).
const (
	DefaultIterations = 4096 // SCRAM_SHA_256_DEFAULT_ITERATIONS
	saltLen           = 16   // SCRAM_DEFAULT_SALT_LEN
	keyLen            = sha256.Size
	maxSaltLen        = 1024 // ours: no real verifier comes near
	maxIterations     = 1<<31 - 1
)

// SecretKind says what a Secret holds.
type SecretKind uint8

// The kinds of PasswordType in src/include/libpq/crypt.h.
const (
	NoSecret    SecretKind = iota // the zero Secret: nothing matches it
	PlainSecret                   // a password as it is typed
	MD5Secret                     // md5 of password and role name
	SCRAMSecret                   // a SCRAM-SHA-256 verifier
)

// A Secret is what a role authenticates against. The zero Secret matches no password.
type Secret struct {
	Kind SecretKind

	Plain string // PlainSecret
	MD5   string // MD5Secret: 32 lower-case hex digits, without the prefix

	// SCRAMSecret (RFC 5802 section 3). Iterations may also be set on a PlainSecret, for the
	// exchange made of it; 0 means DefaultIterations.
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte

	mock bool // made up for a role that does not exist
}

const scramPrefix = "SCRAM-SHA-256$"

// ParseSecret reads the text of pg_authid.rolpassword: a SCRAM-SHA-256 verifier, "md5" with 32
// hex digits, or else a plain password. Unlike PostgreSQL, which would take a damaged verifier
// for a plain password, it returns an error for text that begins with "SCRAM-SHA-256$" and is
// not a verifier.
func ParseSecret(text string) (Secret, error) {
	switch {
	case text == "":
		return Secret{}, fmt.Errorf("parse secret: it is empty")
	case strings.HasPrefix(text, scramPrefix):
		s, err := parseSCRAM(text[len(scramPrefix):])
		if err != nil {
			return Secret{}, fmt.Errorf("parse secret: %w", err)
		}
		return s, nil
	case len(text) == 35 && strings.HasPrefix(text, "md5") && isLowerHex(text[3:]):
		return Secret{Kind: MD5Secret, MD5: text[3:]}, nil
	}
	return Secret{Kind: PlainSecret, Plain: text}, nil
}

// parseSCRAM reads "<iterations>:<salt>$<StoredKey>:<ServerKey>", parse_scram_secret's format.
func parseSCRAM(text string) (Secret, error) {
	head, keys, ok1 := strings.Cut(text, "$")
	iterations, salt, ok2 := strings.Cut(head, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok1 || !ok2 || !ok3 {
		return Secret{}, fmt.Errorf("a verifier is SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")
	}
	s := Secret{Kind: SCRAMSecret}
	var err error
	if s.Iterations, err = strconv.Atoi(iterations); err != nil || s.Iterations < 1 || s.Iterations > maxIterations {
		return Secret{}, fmt.Errorf("the iteration count of a SCRAM verifier must be a number from 1 to %d", maxIterations)
	}
	if s.Salt, err = decode64(salt); err != nil || len(s.Salt) == 0 || len(s.Salt) > maxSaltLen {
		return Secret{}, fmt.Errorf("the salt of a SCRAM verifier must be 1 to %d bytes in base64", maxSaltLen)
	}
	if s.StoredKey, err = decode64(stored); err != nil || len(s.StoredKey) != keyLen {
		return Secret{}, fmt.Errorf("the stored key of a SCRAM verifier must be %d bytes in base64", keyLen)
	}
	if s.ServerKey, err = decode64(server); err != nil || len(s.ServerKey) != keyLen {
		return Secret{}, fmt.Errorf("the server key of a SCRAM verifier must be %d bytes in base64", keyLen)
	}
	return s, nil
}

// Text formats the secret as pg_authid.rolpassword holds it. ParseSecret reads it back.
func (s Secret) Text() string {
	switch s.Kind {
	case SCRAMSecret:
		return fmt.Sprintf("%s%d:%s$%s:%s", scramPrefix, s.Iterations,
			encode64(s.Salt), encode64(s.StoredKey), encode64(s.ServerKey))
	case MD5Secret:
		return "md5" + s.MD5
	}
	return s.Plain
}

// String names the kind of secret and nothing else, so that a log line reveals nothing.
func (s Secret) String() string {
	switch s.Kind {
	case SCRAMSecret:
		return "scram-sha-256 secret"
	case MD5Secret:
		return "md5 secret"
	case PlainSecret:
		return "plain secret"
	}
	return "no secret"
}

// GoString keeps %#v from printing keys.
func (s Secret) GoString() string { return s.String() }

// NewSCRAMSecret derives a verifier from a password with a random salt. Iterations of 0 mean
// DefaultIterations.
func NewSCRAMSecret(password string, iterations int) (Secret, error) {
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	return DeriveSCRAMSecret(password, salt, iterations)
}

// DeriveSCRAMSecret derives a verifier from a password and a salt.
func DeriveSCRAMSecret(password string, salt []byte, iterations int) (Secret, error) {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	keys, err := deriveKeys(password, salt, iterations)
	if err != nil {
		return Secret{}, err
	}
	stored := sha256.Sum256(keys.ClientKey)
	return Secret{
		Kind: SCRAMSecret, Iterations: iterations, Salt: bytes.Clone(salt),
		StoredKey: stored[:], ServerKey: keys.ServerKey,
	}, nil
}

// NewMD5Secret hashes a password with the role's name, as pg_md5_encrypt does.
func NewMD5Secret(user, password string) Secret {
	return Secret{Kind: MD5Secret, MD5: md5hex([]byte(password + user))}
}

// MockSecret makes up a verifier for a role that does not exist. The salt depends on the
// server's own secret and the role's name only, so asking twice gives the same answer, as it
// would for a real role (auth-scram.c, mock_scram_secret). It never matches. Iterations should
// be what real roles have; 0 means DefaultIterations.
func MockSecret(serverSecret []byte, user string, iterations int) Secret {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	return Secret{
		Kind: SCRAMSecret, Iterations: iterations, Salt: hmac256(serverSecret, user)[:saltLen],
		StoredKey: make([]byte, keyLen), ServerKey: make([]byte, keyLen), mock: true,
	}
}

// MockPlainSecret is MockSecret for a server whose real roles have plain secrets: its exchange
// takes the same time as theirs, key derivation included. It never matches.
func MockPlainSecret(iterations int) Secret {
	return Secret{Kind: PlainSecret, Plain: newNonce(), Iterations: iterations, mock: true}
}

// SCRAMKeys are the two keys a client needs to log in without knowing the password.
type SCRAMKeys struct {
	ClientKey []byte
	ServerKey []byte
}

// Keys derives the client's keys of a password, salt and iteration count.
func Keys(password string, salt []byte, iterations int) (SCRAMKeys, error) {
	return deriveKeys(password, salt, iterations)
}

func deriveKeys(password string, salt []byte, iterations int) (SCRAMKeys, error) {
	salted, err := pbkdf2.Key(sha256.New, preparePassword(password), salt, iterations, keyLen)
	if err != nil {
		return SCRAMKeys{}, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	defer clear(salted)
	return SCRAMKeys{ClientKey: hmac256(salted, "Client Key"), ServerKey: hmac256(salted, "Server Key")}, nil
}

func hmac256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

// VerifyPassword reports whether a password sent in clear is right, whatever kind the secret
// is (src/backend/libpq/crypt.c, plain_crypt_verify). It takes the time of a full comparison
// also when the answer is no.
func (s Secret) VerifyPassword(user, password string) bool {
	switch s.Kind {
	case SCRAMSecret:
		keys, err := deriveKeys(password, s.Salt, s.Iterations)
		return err == nil && !s.mock && hmac.Equal(keys.ServerKey, s.ServerKey)
	case MD5Secret:
		return equal(NewMD5Secret(user, password).MD5, s.MD5)
	case PlainSecret:
		return equal(password, s.Plain) && !s.mock
	}
	return false
}

// equal compares without telling by its time where the difference is, nor how long want is.
func equal(got, want string) bool {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func md5hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func isLowerHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// decode64 is strict: no line breaks, no loose bits at the end.
func decode64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(strings.IndexAny(s, "\r\n"))
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}
