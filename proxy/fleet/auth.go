package fleet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// An Auth lets clients in as a configuration says: each user by his method, with any of his
// passwords. It is safe for concurrent use.
type Auth struct {
	// Config returns the configuration that holds now. Required.
	Config func() *conf.Config
	// TrustLocal lets in everybody who comes by a Unix socket, which then must be reached by
	// nobody else.
	TrustLocal bool
	// Keys gets what clients prove, Fleet is asked for the secrets of users without an entry
	// (auth_query), and whether the servers let them in (passthrough_auth). Nil: neither.
	Keys  *Keyring
	Fleet *Fleet

	book      rulebook
	salt      []byte // of plain passwords, with the user's name
	strangers pgserver.Authenticator
}

// NewAuth makes an Auth.
func NewAuth(config func() *conf.Config, trustLocal bool) *Auth {
	a := &Auth{Config: config, TrustLocal: trustLocal, salt: make([]byte, 32)}
	_, _ = rand.Read(a.salt)
	nobody := auth.SecretFunc(func(context.Context, auth.SecretRequest) (auth.Secret, error) {
		return auth.Secret{}, auth.ErrNoSuchRole
	})
	a.strangers = pgserver.SCRAMWithKey(nobody, a.salt)
	return a
}

// Authenticate lets a client in or not. A user that there is not looks like one with another
// password.
func (a *Auth) Authenticate(ctx context.Context, c *pgserver.AuthConn) (*pgserver.Identity, error) {
	if a.TrustLocal && c.Local() {
		return &pgserver.Identity{Method: "peer"}, nil
	}
	cfg := a.Config()
	if admin.Is(cfg, c.Database()) {
		return a.admin(ctx, c, cfg)
	}
	u, ok := cfg.User(c.User(), c.Database())
	if ok {
		if id := u.Identity; id != "" && c.TLS() != nil && len(c.TLS().VerifiedChains) > 0 {
			if name, err := auth.CertificateName(c.TLS(), auth.CertCN); err == nil && name == id {
				return &pgserver.Identity{User: u.Name, System: name, Method: "cert"}, nil
			}
		}
		if err := a.certified(c, cfg, u); err != nil {
			return nil, err
		}
		secrets, err := secretsOf(u)
		if err != nil {
			return nil, err
		}
		method := cfg.AuthTypeOf(u)
		if len(secrets) == 0 && a.passes(cfg) && method != conf.AuthTrust && method != conf.AuthHBA && method != conf.AuthLDAP {
			return a.passthrough(ctx, c, cfg)
		}
		return a.by(ctx, method, c, cfg, secrets)
	}
	if err := a.certified(c, cfg, nil); err != nil {
		return nil, err
	}
	if a.Fleet != nil && authUser(cfg, c.Database()) != "" {
		secret, err := a.Fleet.AuthQuery(ctx, cfg, c.Database(), c.User())
		switch {
		case err == nil && secret.Kind != auth.NoSecret:
			return a.by(ctx, methodFor(secret, cfg), c, cfg, []auth.Secret{secret})
		case err != nil && !errors.Is(err, auth.ErrNoSuchRole):
			a.Fleet.log.Warn("find a user's secret", "user", c.User(), "database", c.Database(), "error", err)
			return nil, wire.Errorf(wire.CodeConnectionFailure, "the proxy cannot find out who %q is", c.User())
		}
	}
	if in, err := a.directory(ctx, c, cfg); in != nil || err != nil {
		return in, err
	}
	if a.passes(cfg) {
		return a.passthrough(ctx, c, cfg)
	}
	return a.strangers.Authenticate(ctx, c)
}

// certified refuses a client without a certificate, where one is demanded: of everybody but those
// whose entry says otherwise. u is nil for who has none.
func (a *Auth) certified(c *pgserver.AuthConn, cfg *conf.Config, u *conf.User) error {
	if cfg.General.TLSClientCACertificate == "" || u != nil && u.TLSClientCertificateRequired != nil && !*u.TLSClientCertificateRequired || c.Local() {
		return nil
	}
	if t := c.TLS(); t != nil && len(t.VerifiedChains) > 0 {
		return nil
	}
	return &auth.Error{Code: auth.CodeInvalidAuthorization, Message: "connection requires a valid client certificate", Log: "tls_client_certificate_required"}
}

// by runs a method's exchange.
func (a *Auth) by(ctx context.Context, method conf.AuthType, c *pgserver.AuthConn, cfg *conf.Config, secrets []auth.Secret) (*pgserver.Identity, error) {
	switch method {
	case conf.AuthTrust:
		return &pgserver.Identity{Method: "trust"}, nil
	case conf.AuthHBA, conf.AuthLDAP:
		checked, err := a.rules(cfg, method, c.Database(), secrets)
		if err != nil {
			return nil, err
		}
		return checked.Authenticate(ctx, c)
	case conf.AuthPlain:
		return a.password(c, secrets)
	case conf.AuthMD5:
		if len(secrets) > 0 && !slices.ContainsFunc(secrets, func(s auth.Secret) bool { return !s.CanMD5() }) {
			return a.md5(c, secrets)
		}
	}
	return a.scram(c, secrets)
}

// methodFor is how a user without an entry logs in: as the configuration says, as far as his
// secret allows.
func methodFor(s auth.Secret, cfg *conf.Config) conf.AuthType {
	switch method := cfg.AuthTypeOf(nil); {
	case method == conf.AuthHBA || method == conf.AuthLDAP || method == conf.AuthPlain:
		return method
	case !s.CanSCRAM():
		return conf.AuthMD5
	case method == conf.AuthMD5 && s.CanMD5():
		return method
	}
	return conf.AuthSCRAM // trust is for users of the configuration
}

// admin lets those into the admin database who may use it: the user of [admin] by its
// password, others by their own.
func (a *Auth) admin(ctx context.Context, c *pgserver.AuthConn, cfg *conf.Config) (*pgserver.Identity, error) {
	var entry *conf.User
	if i := slices.IndexFunc(cfg.Users, func(u conf.User) bool { return u.Name == c.User() }); i >= 0 {
		entry = &cfg.Users[i]
	}
	if err := a.certified(c, cfg, entry); err != nil {
		return nil, err
	}
	if ok, _ := admin.Allowed(cfg, c.User()); !ok {
		return a.strangers.Authenticate(ctx, c)
	}
	listed := slices.Contains(cfg.PgBouncer.AdminUsers, c.User()) || slices.Contains(cfg.PgBouncer.StatsUsers, c.User())
	if c.User() == cfg.Admin.User && (cfg.Admin.Password != "" || !listed) {
		if cfg.Admin.Password == "" { // nobody knows it
			return a.strangers.Authenticate(ctx, c)
		}
		return a.scram(c, []auth.Secret{{Kind: auth.PlainSecret, Plain: cfg.Admin.Password}})
	}
	if entry == nil {
		return a.strangers.Authenticate(ctx, c)
	}
	secrets, err := secretsOf(entry)
	if err != nil {
		return nil, err
	}
	return a.scram(c, secrets)
}

// secretsOf returns what a user may log in with.
func secretsOf(u *conf.User) (out []auth.Secret, err error) {
	for _, p := range u.AllPasswords() {
		out = append(out, auth.Secret{Kind: auth.PlainSecret, Plain: p})
	}
	if u.PasswordHash != "" {
		s, err := auth.ParseSecret(u.PasswordHash)
		if err != nil {
			return nil, fmt.Errorf("the password_hash of %q: %w", u.Name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (a *Auth) password(c *pgserver.AuthConn, secrets []auth.Secret) (*pgserver.Identity, error) {
	body, err := c.Ask(&wire.AuthenticationCleartextPassword{}, wire.MaxAuthToken)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	var m wire.PasswordMessage
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	ok := false
	for _, s := range secrets {
		ok = s.VerifyPassword(c.User(), m.Password) || ok
	}
	if ok = ok && m.Password != ""; ok {
		a.Keys.put(c.User(), c.Database(), pool.Credentials{Password: m.Password})
	}
	return verdict(c, ok, "password")
}

func (a *Auth) md5(c *pgserver.AuthConn, secrets []auth.Secret) (*pgserver.Identity, error) {
	var ask wire.AuthenticationMD5Password
	_, _ = rand.Read(ask.Salt[:])
	body, err := c.Ask(&ask, wire.MaxAuthToken)
	if err != nil {
		return nil, err
	}
	var m wire.PasswordMessage
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	ok := false
	for _, s := range secrets {
		if s.VerifyMD5(c.User(), m.Password, ask.Salt) {
			ok = true
			if s.Kind == auth.MD5Secret {
				a.Keys.put(c.User(), c.Database(), pool.Credentials{MD5: s.MD5})
			}
		}
	}
	return verdict(c, ok, "md5")
}

func verdict(c *pgserver.AuthConn, ok bool, method string) (*pgserver.Identity, error) {
	if !ok {
		return nil, auth.PasswordFailed(c.User(), "no password of the user matches")
	}
	return &pgserver.Identity{User: c.User(), System: c.User(), Method: method}, nil
}

// scram runs one exchange for all of a user's passwords. Plain ones get the same salt, so the
// server's first message is the same for each, and the proof tells which one it was. A verifier
// has a salt of its own, so it can only stand alone.
func (a *Auth) scram(c *pgserver.AuthConn, secrets []auth.Secret) (*pgserver.Identity, error) {
	plain := slices.DeleteFunc(slices.Clone(secrets), func(s auth.Secret) bool { return s.Kind != auth.PlainSecret })
	if len(plain) < 2 && len(secrets) > 0 {
		plain = secrets[len(secrets)-1:] // a verifier goes before a plain password
	}
	if len(plain) == 0 || !plain[0].CanSCRAM() {
		return a.strangers.Authenticate(context.Background(), c)
	}
	mechanisms := auth.Mechanisms(c.Binding())
	body, err := c.Ask(&wire.AuthenticationSASL{Mechanisms: mechanisms}, auth.MaxSCRAMMessage)
	if err != nil {
		return nil, err
	}
	var first wire.SASLInitialResponse
	if err := first.Decode(body); err != nil {
		return nil, err
	}
	in := slices.Clone(first.Data)
	if first.Data == nil {
		if in, err = c.Ask(&wire.AuthenticationSASLContinue{}, auth.MaxSCRAMMessage); err != nil {
			return nil, err
		}
		in = slices.Clone(in)
	}
	nonce := rand.Text()
	machines := make([]*auth.SCRAMServer, len(plain))
	var out []byte
	for i, s := range plain {
		machines[i] = &auth.SCRAMServer{
			User: c.User(), Secret: s, Mechanism: first.Mechanism, Binding: c.Binding(), SaltKey: a.salt, Nonce: nonce,
		}
		if out, _, err = machines[i].Next(in); err != nil {
			return nil, err
		}
	}
	final, err := c.Ask(&wire.AuthenticationSASLContinue{Data: out}, auth.MaxSCRAMMessage)
	if err != nil {
		return nil, err
	}
	final = slices.Clone(final)
	var failure error
	var answer []byte
	for _, m := range machines { // all of them, so that time does not tell which
		out, done, err := m.Next(final)
		switch {
		case err != nil:
			failure = err
		case done && answer == nil:
			answer = out
			if m.Secret.Kind == auth.SCRAMSecret {
				// With these the proxy can do at the servers what the client did here, if they
				// have the same verifier.
				a.Keys.put(c.User(), c.Database(), pool.Credentials{Keys: &auth.SCRAMKeys{ClientKey: m.ClientKey(), ServerKey: m.Secret.ServerKey}})
			}
		}
	}
	if answer == nil {
		return nil, failure
	}
	if err := c.Send(&wire.AuthenticationSASLFinal{Data: answer}); err != nil {
		return nil, err
	}
	return &pgserver.Identity{User: c.User(), System: c.User(), Method: "scram-sha-256"}, nil
}

// ClientTLS loads the certificate that clients are shown; nil is no TLS.
func ClientTLS(g *conf.General) (*tls.Config, error) {
	if g.TLSCertificate == "" {
		if g.TLSClientRequired {
			return nil, errors.New("tls_client_required needs tls_certificate and tls_private_key")
		}
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(g.TLSCertificate, g.TLSPrivateKey)
	if err != nil {
		return nil, fmt.Errorf("load the certificate for clients: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if path := g.TLSClientCACertificate; path != "" {
		if cfg.ClientCAs, err = authorities(path); err != nil {
			return nil, err
		}
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return cfg, nil
}
