package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
)

// Cert lets in clients whose TLS certificate names the role: by its common name or, with
// CertDN, by its whole subject. Server.TLS must verify client certificates: set its ClientCAs
// and ClientAuth. maps, which may be nil, holds the ident map of the given name; "" demands
// equal names.
func Cert(field auth.CertField, maps *hba.Ident, mapName string) Authenticator {
	return AuthenticatorFunc(func(_ context.Context, a *AuthConn) (*Identity, error) {
		return certIdentity(a, field, maps, mapName, hba.Env{})
	})
}

func certIdentity(a *AuthConn, field auth.CertField, maps *hba.Ident, mapName string, env hba.Env) (*Identity, error) {
	refuse := func(reason string) error {
		return &auth.Error{
			Code: auth.CodeInvalidAuthorization, Log: reason,
			Message: fmt.Sprintf("certificate authentication failed for user %q", a.User()),
		}
	}
	name, err := auth.CertificateName(a.TLS(), field)
	if err != nil {
		return nil, refuse(err.Error())
	}
	if err := maps.Check(mapName, name, a.User(), env); err != nil {
		return nil, refuse(err.Error())
	}
	return &Identity{User: a.User(), System: name, Method: "cert"}, nil
}

// OAuth configures OAUTHBEARER, PostgreSQL 18's method oauth.
type OAuth struct {
	Validator auth.Validator
	Issuer    string // where a client gets a token; told to clients that have none
	Scope     string // scopes a token needs, told likewise
	// Maps and Map translate the bearer's identity to a role; without them it must be the
	// role's name. DelegateMapping leaves the decision to the validator.
	Maps            *hba.Ident
	Map             string
	DelegateMapping bool

	env hba.Env
}

// Authenticate runs the exchange.
func (o *OAuth) Authenticate(ctx context.Context, a *AuthConn) (*Identity, error) {
	m := &auth.OAuthServer{
		Validator: o.Validator, Issuer: o.Issuer, Scope: o.Scope,
		Request: auth.BearerRequest{User: a.User(), Database: a.Database(), Addr: a.Addr()},
	}
	_, data, err := a.sasl([]string{auth.OAuthBearer}, auth.MaxOAuthMessage)
	if err != nil {
		return nil, err
	}
	for {
		out, done, err := m.Next(ctx, data)
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
		if data, err = a.Ask(&wire.AuthenticationSASLContinue{Data: out}, auth.MaxOAuthMessage); err != nil {
			return nil, err
		}
	}
	id := &Identity{User: a.User(), System: m.Identity(), Method: "oauth"}
	if o.DelegateMapping {
		return id, nil
	}
	if err := o.Maps.Check(o.Map, m.Identity(), a.User(), o.env); err != nil {
		return nil, &auth.Error{
			Code: auth.CodeInvalidAuthorization, Log: err.Error(),
			Message: fmt.Sprintf("OAuth bearer authentication failed for user %q", a.User()),
		}
	}
	return id, nil
}

// Rules authenticates by the rules of a pg_hba.conf. Set the fields its methods need; NewRules
// says what is missing.
type Rules struct {
	HBA     *hba.Rules
	Ident   *hba.Ident
	Secrets auth.SecretSource // password, md5, scram-sha-256
	// Validators judge the tokens of method oauth, by the rule's option validator. "" is for
	// rules without that option.
	Validators map[string]auth.Validator
	// LDAP checks passwords by rules of method ldap: package ldap has such a function. It returns the
	// name that the directory has for the user; an error is a refusal, and told to the log only.
	LDAP func(ctx context.Context, rule *hba.LDAP, user, password string) (name string, err error)
	// HasRole answers role membership for +role and samerole; nil means that nobody is a
	// member of anything but himself.
	HasRole func(user, role string) bool

	byMethod map[hba.Method]Authenticator
	env      hba.Env
}

// NewRules checks that everything the rules need is there.
func NewRules(r Rules) (*Rules, error) {
	if r.HBA == nil {
		return nil, errors.New("rules: there is no HBA")
	}
	var errs []error
	for _, rule := range r.HBA.All() {
		switch rule.Method {
		case hba.Password, hba.MD5, hba.SCRAM:
			if r.Secrets == nil {
				errs = append(errs, fmt.Errorf("%s: there are no Secrets to check passwords against", &rule))
			}
		case hba.OAuth:
			if r.Validators[rule.Validator] == nil {
				errs = append(errs, fmt.Errorf("%s: there is no validator %q", &rule, rule.Validator))
			}
		case hba.ByLDAP:
			if r.LDAP == nil {
				errs = append(errs, fmt.Errorf("%s: there is nothing that asks a directory", &rule))
			}
		case hba.Peer:
			if !canPeer {
				errs = append(errs, fmt.Errorf("%s: peer is not supported on this platform", &rule))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if r.HasRole == nil {
		r.HasRole = func(user, role string) bool { return user == role }
	}
	r.env = hba.Env{HasRole: r.HasRole, Interfaces: interfaces, Resolver: net.DefaultResolver}
	r.byMethod = map[hba.Method]Authenticator{hba.Trust: Trust()}
	if r.Secrets != nil {
		r.byMethod[hba.Password] = Password(r.Secrets)
		r.byMethod[hba.MD5] = MD5(r.Secrets)
		r.byMethod[hba.SCRAM] = SCRAM(r.Secrets)
	}
	return &r, nil
}

// Authenticate finds the first rule that fits and does what it says (ClientAuthentication in
// libpq/auth.c).
func (r *Rules) Authenticate(ctx context.Context, a *AuthConn) (*Identity, error) {
	if r.byMethod == nil {
		return nil, errors.New("rules: make them with NewRules")
	}
	rule := r.Match(ctx, a)
	if rule == nil || rule.Method == hba.Reject {
		return nil, r.rejected(a, rule)
	}
	if err := r.clientCert(a, rule); err != nil {
		return nil, err
	}
	switch rule.Method {
	case hba.Cert:
		return certIdentity(a, rule.ClientName, r.Ident, rule.Map, r.env)
	case hba.Peer:
		return r.peer(a, rule)
	case hba.ByLDAP:
		return r.ldap(ctx, a, rule)
	case hba.OAuth:
		o := &OAuth{
			Validator: r.Validators[rule.Validator], Issuer: rule.Issuer, Scope: rule.Scope,
			Maps: r.Ident, Map: rule.Map, DelegateMapping: rule.DelegateMapping, env: r.env,
		}
		return o.Authenticate(ctx, a)
	}
	return r.byMethod[rule.Method].Authenticate(ctx, a)
}

// Match returns the first rule that fits a connection; nil if there is none.
func (r *Rules) Match(ctx context.Context, a *AuthConn) *hba.Rule {
	return r.HBA.Match(ctx, hba.Conn{
		Local: a.Local(), TLS: a.TLS() != nil, Addr: a.Addr(),
		User: a.User(), Database: a.Database(), Replication: a.Replication(),
	}, r.env)
}

// rejected words the refusal as PostgreSQL does.
func (r *Rules) rejected(a *AuthConn, rule *hba.Rule) error {
	host := "[local]"
	if !a.Local() {
		host = a.Addr().String()
	}
	encryption := "no encryption"
	if a.TLS() != nil {
		encryption = "SSL encryption"
	}
	subject := fmt.Sprintf("user %q, database %q", a.User(), a.Database())
	kind := "connection"
	if a.Replication() {
		subject, kind = fmt.Sprintf("user %q", a.User()), "replication connection"
	}
	e := &auth.Error{Code: auth.CodeInvalidAuthorization}
	if rule == nil {
		e.Message = fmt.Sprintf("no pg_hba.conf entry for host %q, %s, %s", host, subject, encryption)
		if a.Replication() {
			e.Message = fmt.Sprintf("no pg_hba.conf entry for replication connection from host %q, %s, %s", host, subject, encryption)
		}
		return e
	}
	e.Message = fmt.Sprintf("pg_hba.conf rejects %s for host %q, %s, %s", kind, host, subject, encryption)
	e.Log = rule.String()
	return e
}

// clientCert demands what the option clientcert says, beside the method.
func (r *Rules) clientCert(a *AuthConn, rule *hba.Rule) error {
	if rule.ClientCert == hba.CertNone {
		return nil
	}
	if cs := a.TLS(); cs == nil || len(cs.VerifiedChains) == 0 {
		return &auth.Error{Code: auth.CodeInvalidAuthorization, Message: "connection requires a valid client certificate", Log: rule.String()}
	}
	if rule.ClientCert != hba.CertVerifyFull || rule.Method == hba.Cert {
		return nil
	}
	_, err := certIdentity(a, rule.ClientName, r.Ident, "", r.env)
	return err
}

func (r *Rules) peer(a *AuthConn, rule *hba.Rule) (*Identity, error) {
	refuse := func(err error) (*Identity, error) {
		return nil, &auth.Error{
			Code: auth.CodeInvalidAuthorization, Log: err.Error(),
			Message: fmt.Sprintf("peer authentication failed for user %q", a.User()),
		}
	}
	name, err := peerUser(a.c.raw)
	if err != nil {
		return refuse(err)
	}
	if err := r.Ident.Check(rule.Map, name, a.User(), r.env); err != nil {
		return refuse(err)
	}
	return &Identity{User: a.User(), System: name, Method: "peer"}, nil
}

// ldap asks for the password in the clear, and a directory whether it is right.
func (r *Rules) ldap(ctx context.Context, a *AuthConn, rule *hba.Rule) (*Identity, error) {
	body, err := a.Ask(&wire.AuthenticationCleartextPassword{}, wire.MaxAuthToken)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	var m wire.PasswordMessage
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	name, err := r.LDAP(ctx, rule.LDAP, a.User(), m.Password)
	if err != nil {
		return nil, &auth.Error{
			Code: auth.CodeInvalidAuthorization, Log: fmt.Sprintf("%s: %v", rule, err),
			Message: fmt.Sprintf("LDAP authentication failed for user %q", a.User()),
		}
	}
	return &Identity{User: a.User(), System: name, Method: string(hba.ByLDAP)}, nil
}

// interfaces lists this machine's addresses with their networks.
func interfaces() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}
