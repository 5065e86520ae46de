package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// SQLSTATE codes that end an authentication (src/backend/utils/errcodes.txt).
const (
	CodeProtocolViolation    = "08P01" // protocol_violation
	CodeInvalidAuthorization = "28000" // invalid_authorization_specification
	CodeInvalidPassword      = "28P01" // invalid_password
	CodeFeatureNotSupported  = "0A000" // feature_not_supported
	CodeInternal             = "XX000" // internal_error
)

// ErrNoSuchRole is returned (possibly wrapped) by a SecretSource that does not know the role.
// The exchange then goes on with a made-up secret and fails at its end, exactly like a wrong
// password does, so that a stranger cannot find out which roles there are.
var ErrNoSuchRole = errors.New("no such role")

// An Error is a failed authentication. It always ends the connection: the caller sends it with
// severity FATAL, whatever it says, and closes.
type Error struct {
	Code    string // SQLSTATE
	Message string // for the client, as PostgreSQL words it
	Detail  string // for the client; may be empty
	Log     string // for the server's log only; may be empty
}

// Error returns the message, with its detail when there is one. It never includes Log.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Message
	}
	return e.Message + ": " + e.Detail
}

// SQLState returns the error's SQLSTATE.
func (e *Error) SQLState() string { return e.Code }

func violation(message, detail string) *Error {
	return &Error{Code: CodeProtocolViolation, Message: message, Detail: detail}
}

func malformed(format string, args ...any) *Error {
	return violation("malformed SCRAM message", fmt.Sprintf(format, args...))
}

// PasswordFailed is the error for a wrong password and for a role that does not exist: the
// client cannot tell the two apart. The reason goes to the log.
func PasswordFailed(user, reason string) *Error {
	return &Error{
		Code:    CodeInvalidPassword,
		Message: fmt.Sprintf("password authentication failed for user %q", user),
		Log:     reason,
	}
}

// A SecretRequest says whose secret is wanted. Addr is the zero Addr on a Unix socket.
type SecretRequest struct {
	User     string
	Database string
	Addr     netip.Addr
}

// A SecretSource looks up what a role authenticates against. It returns an error wrapping
// ErrNoSuchRole for a role that does not exist or has no password; any other error ends the
// connection. It is called by several goroutines at once.
type SecretSource interface {
	Secret(ctx context.Context, req SecretRequest) (Secret, error)
}

// SecretFunc makes a SecretSource of a function.
type SecretFunc func(ctx context.Context, req SecretRequest) (Secret, error)

// Secret calls f.
func (f SecretFunc) Secret(ctx context.Context, req SecretRequest) (Secret, error) {
	return f(ctx, req)
}

// Secrets is a SecretSource for a fixed set of roles, from role name to the text of
// pg_authid.rolpassword or a plain password.
type Secrets map[string]string

// Secret parses the role's text.
func (m Secrets) Secret(_ context.Context, req SecretRequest) (Secret, error) {
	text, ok := m[req.User]
	if !ok {
		return Secret{}, fmt.Errorf("role %q: %w", req.User, ErrNoSuchRole)
	}
	return ParseSecret(text)
}
