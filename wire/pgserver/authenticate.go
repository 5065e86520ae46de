package pgserver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// An Authenticator decides whether a client is let in. It returns who the client is, or an
// error, which always ends the connection. It is called by several goroutines at once; ctx
// ends with the server's StartupTimeout only as far as reads fail, so it needs no timer of its
// own.
type Authenticator interface {
	Authenticate(ctx context.Context, c *AuthConn) (*Identity, error)
}

// AuthenticatorFunc makes an Authenticator of a function.
type AuthenticatorFunc func(ctx context.Context, c *AuthConn) (*Identity, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, c *AuthConn) (*Identity, error) {
	return f(ctx, c)
}

// An Identity is who a client is.
type Identity struct {
	User   string // the role; empty means the one asked for
	System string // what was proved: the role, a certificate's name, a token's bearer
	Method string // for logs, as pg_hba.conf names it
}

// An AuthConn is a connection that is being authenticated. It is valid during Authenticate.
type AuthConn struct {
	c *conn
	s *Session
}

// User returns the role the client asks for.
func (a *AuthConn) User() string { return a.s.startup.User() }

// Database returns the database the client asks for.
func (a *AuthConn) Database() string { return a.s.startup.Database() }

// Startup returns a parameter of the startup message.
func (a *AuthConn) Startup(name string) (string, bool) { return a.s.startup.Get(name) }

// Replication reports a physical replication connection.
func (a *AuthConn) Replication() bool { return a.s.Replication() == "true" }

// Addr returns the client's IP address; the zero Addr for a Unix socket or a pipe.
func (a *AuthConn) Addr() netip.Addr { return addrOf(a.c.raw.RemoteAddr()) }

// Local reports that the client is on this machine and came by no network: by a Unix socket or
// by a pipe inside this process.
func (a *AuthConn) Local() bool { return isLocal(a.c.raw) }

// TLS returns the state of the TLS connection, or nil without one.
func (a *AuthConn) TLS() *tls.ConnectionState { return a.c.tlsState }

// Binding returns the channel binding data, nil without TLS.
func (a *AuthConn) Binding() auth.Binding { return auth.ServerBinding(a.c.tlsState, a.c.leaf) }

// Request says whose secret is wanted.
func (a *AuthConn) Request() auth.SecretRequest {
	return auth.SecretRequest{User: a.User(), Database: a.Database(), Addr: a.Addr()}
}

// Ask sends an authentication request and returns the client's answer: the body of a message
// of type 'p', of at most limit bytes. The answer is valid until the next call.
func (a *AuthConn) Ask(request wire.BackendMessage, limit int) ([]byte, error) {
	if err := a.Send(request); err != nil {
		return nil, err
	}
	if err := a.c.w.Flush(); err != nil {
		return nil, err
	}
	f, err := a.c.r.ReadFrameLimit(limit)
	if err != nil {
		return nil, quiet(err)
	}
	if f.Type != wire.TypeAuthResponse {
		return nil, &wire.Error{Code: wire.CodeProtocolViolation, Message: "expected password response, got message type " + f.Type.String()}
	}
	return f.Body, nil
}

// Send sends an authentication message that has no answer, such as AuthenticationSASLFinal.
func (a *AuthConn) Send(m wire.BackendMessage) error { return a.c.w.Send(m) }

// authenticate runs the exchange. Whatever error comes out of it ends the connection.
func (c *conn) authenticate(ctx context.Context, s *Session) error {
	a := c.srv.Auth
	if a == nil {
		a = localTrust{}
	}
	var id *Identity
	err := c.guard(func() (err error) {
		id, err = a.Authenticate(ctx, &AuthConn{c: c, s: s})
		return err
	})
	if err == nil && id == nil {
		err = errors.New("pgserver: the Authenticator returned neither an identity nor an error")
	}
	if err != nil {
		return c.authError(err)
	}
	s.identity = *id
	if s.identity.User == "" {
		s.identity.User = s.startup.User()
	}
	return c.w.Send(&wire.AuthenticationOk{})
}

// authError words a refusal. What only the log may know goes there; an error that has no
// SQLSTATE may hold anything, so the client is not told.
func (c *conn) authError(err error) error {
	if refused, ok := errors.AsType[*auth.Error](err); ok {
		if refused.Log != "" {
			c.srv.log().Info("authentication refused", "remote", c.raw.RemoteAddr(), "reason", refused.Log)
		}
		return &wire.Error{Severity: wire.SeverityFatal, Code: wire.Code(refused.Code), Message: refused.Message, Detail: refused.Detail}
	}
	var coded interface{ SQLState() string }
	if errors.Is(err, errTerminate) || isNetwork(err) || errors.As(err, &coded) {
		return err
	}
	c.srv.log().Error("authentication", "remote", c.raw.RemoteAddr(), "error", err)
	return &wire.Error{Severity: wire.SeverityFatal, Code: wire.CodeInternalError, Message: "authentication is not possible now"}
}

// localTrust is what a Server without Auth does.
type localTrust struct{}

func (localTrust) Authenticate(_ context.Context, a *AuthConn) (*Identity, error) {
	if !a.Local() && !a.Addr().IsLoopback() {
		return nil, &auth.Error{
			Code: auth.CodeInvalidAuthorization, Message: "this server accepts connections from its own machine only",
			Log: "no Auth is set; set one to let in clients from the network",
		}
	}
	return &Identity{Method: "trust"}, nil
}

// Trust lets everybody in.
func Trust() Authenticator {
	return AuthenticatorFunc(func(context.Context, *AuthConn) (*Identity, error) {
		return &Identity{Method: "trust"}, nil
	})
}

// Password asks for the password in clear text and checks it against the role's secret of any
// kind. Use it over TLS only.
func Password(secrets auth.SecretSource) Authenticator {
	return &passwords{source: secrets, method: "password", key: newKey()}
}

// MD5 asks for a salted MD5 of the password, or for SCRAM where the role's secret is a SCRAM
// verifier, as PostgreSQL does.
func MD5(secrets auth.SecretSource) Authenticator {
	return &passwords{source: secrets, method: "md5", key: newKey()}
}

// SCRAM asks for SCRAM-SHA-256, bound to the channel where there is TLS. A role that does not
// exist, or whose secret SCRAM cannot check, looks like one with another password.
func SCRAM(secrets auth.SecretSource) Authenticator {
	return &passwords{source: secrets, method: "scram-sha-256", key: newKey()}
}

// SCRAMWithKey is SCRAM with a server secret of its own: the salts of roles that do not exist
// are derived from it. Servers that stand in for each other need the same one, or a stranger
// could tell such roles from real ones by asking two of them.
func SCRAMWithKey(secrets auth.SecretSource, serverSecret []byte) Authenticator {
	return &passwords{source: secrets, method: "scram-sha-256", key: serverSecret}
}

func newKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

// passwords is the exchange of the three password methods.
type passwords struct {
	source auth.SecretSource
	method string
	key    []byte

	// What real roles have, so that made-up ones look like them.
	iterations atomic.Int64
	plain      atomic.Bool
}

func (p *passwords) Authenticate(ctx context.Context, a *AuthConn) (*Identity, error) {
	secret, reason, err := p.secret(ctx, a)
	if err != nil {
		return nil, err
	}
	switch {
	case p.method == "password":
		err = p.cleartext(a, secret, reason)
	case p.method == "md5" && (secret.CanMD5() || reason != ""):
		err = p.md5(a, secret, reason)
	default:
		err = p.scram(a, secret, reason)
	}
	if err != nil {
		return nil, err
	}
	return &Identity{User: a.User(), System: a.User(), Method: p.method}, nil
}

// secret looks the role up. A reason says that the login must fail at its end.
func (p *passwords) secret(ctx context.Context, a *AuthConn) (s auth.Secret, reason string, err error) {
	s, err = p.source.Secret(ctx, a.Request())
	switch {
	case errors.Is(err, auth.ErrNoSuchRole):
		reason = err.Error()
	case err != nil:
		return s, "", err
	case s.Kind == auth.NoSecret:
		reason = "the role has no password"
	case p.method == "scram-sha-256" && !s.CanSCRAM():
		reason = "the role has an md5 secret, which SCRAM cannot check"
	case s.Kind == auth.SCRAMSecret:
		p.iterations.Store(int64(s.Iterations))
		p.plain.Store(false)
	case s.Kind == auth.PlainSecret:
		p.iterations.Store(int64(s.Iterations))
		p.plain.Store(true)
	}
	if reason == "" {
		return s, "", nil
	}
	n := int(p.iterations.Load())
	if p.plain.Load() {
		return auth.MockPlainSecret(n), reason, nil
	}
	return auth.MockSecret(p.key, a.User(), n), reason, nil
}

func (p *passwords) cleartext(a *AuthConn, s auth.Secret, reason string) error {
	body, err := a.Ask(&wire.AuthenticationCleartextPassword{}, wire.MaxAuthToken)
	if err != nil {
		return err
	}
	defer clear(body)
	var m wire.PasswordMessage
	if err := m.Decode(body); err != nil {
		return err
	}
	if m.Password == "" {
		return auth.PasswordFailed(a.User(), "the client sent an empty password")
	}
	return verdict(a, s.VerifyPassword(a.User(), m.Password), reason)
}

func (p *passwords) md5(a *AuthConn, s auth.Secret, reason string) error {
	var ask wire.AuthenticationMD5Password
	rand.Read(ask.Salt[:])
	body, err := a.Ask(&ask, wire.MaxAuthToken)
	if err != nil {
		return err
	}
	var m wire.PasswordMessage
	if err := m.Decode(body); err != nil {
		return err
	}
	return verdict(a, s.VerifyMD5(a.User(), m.Password, ask.Salt), reason)
}

func verdict(a *AuthConn, ok bool, reason string) error {
	if ok && reason == "" {
		return nil
	}
	if reason == "" {
		reason = "the password does not match"
	}
	return auth.PasswordFailed(a.User(), reason)
}

func (p *passwords) scram(a *AuthConn, s auth.Secret, reason string) error {
	m := &auth.SCRAMServer{User: a.User(), Secret: s, Binding: a.Binding(), SaltKey: p.key}
	mechanism, data, err := a.sasl(auth.Mechanisms(m.Binding), auth.MaxSCRAMMessage)
	if err != nil {
		return err
	}
	m.Mechanism = mechanism
	for {
		out, done, err := m.Next(data)
		if err != nil {
			var refused *auth.Error
			if reason != "" && errors.As(err, &refused) && refused.Code == auth.CodeInvalidPassword {
				refused.Log = reason
			}
			return err
		}
		if done {
			return a.Send(&wire.AuthenticationSASLFinal{Data: out})
		}
		if data, err = a.Ask(&wire.AuthenticationSASLContinue{Data: out}, auth.MaxSCRAMMessage); err != nil {
			return err
		}
	}
}

// sasl offers mechanisms and returns the client's choice and first message.
func (a *AuthConn) sasl(mechanisms []string, limit int) (mechanism string, data []byte, err error) {
	body, err := a.Ask(&wire.AuthenticationSASL{Mechanisms: mechanisms}, limit)
	if err != nil {
		return "", nil, err
	}
	var m wire.SASLInitialResponse
	if err := m.Decode(body); err != nil {
		return "", nil, err
	}
	if !slices.Contains(mechanisms, m.Mechanism) { // before anything is said in answer
		return "", nil, &auth.Error{Code: auth.CodeProtocolViolation, Message: "client selected an invalid SASL authentication mechanism"}
	}
	if m.Data == nil {
		// Some clients wait for an empty challenge first (RFC 4422 section 3).
		if m.Data, err = a.Ask(&wire.AuthenticationSASLContinue{}, limit); err != nil {
			return "", nil, err
		}
	}
	return m.Mechanism, m.Data, nil
}
