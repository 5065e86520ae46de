// Package ldap checks passwords against a directory, as PostgreSQL's authentication method ldap
// does (CheckLDAPAuth in src/backend/libpq/auth.c): by a bind as the user, whose name is put
// together or, before, searched for.
package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
)

// ErrRefused is what the errors are for a user whom the directory does not know, or whose password
// it does not take. All others are the directory's or the network's.
var ErrRefused = errors.New("refused")

// A Verifier asks directories. The zero value is ready; it is safe for concurrent use.
type Verifier struct {
	// TLS is for ldaps and ldaptls: whom to trust. Its ServerName is set for each server. Nil:
	// the system's certificate authorities.
	TLS *tls.Config
	// Timeout bounds one check, all its connections and questions together. A server that does not answer
	// gets its share of what is left, so that the others are asked. Default 10 s.
	Timeout time.Duration
}

// Verify checks a user's password by a rule, and returns the distinguished name that the user has.
// An empty password is refused: a directory would take it for an anonymous bind, and say yes.
func (v *Verifier) Verify(ctx context.Context, rule *hba.LDAP, user, password string) (dn string, err error) {
	if password == "" {
		return "", fmt.Errorf("%w: the password is empty", ErrRefused)
	}
	timeout := v.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil { // the connection was closed for it
			err = fmt.Errorf("ask the directory: %w", context.Cause(ctx))
		}
	}()
	servers := slices.Clone(rule.Servers)
	if dn = rule.Prefix + user + rule.Suffix; rule.Searches() {
		if dn, err = v.search(ctx, rule, servers, user); err != nil {
			return "", err
		}
	}
	// A connection of its own: what the search was allowed is not asked for again.
	err = v.with(ctx, rule, servers, func(c *ldap.Conn) error { return c.Bind(dn, password) })
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject,
		ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultConstraintViolation,
		ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultInsufficientAccessRights):
		return "", fmt.Errorf("%w: bind as %q: %w", ErrRefused, dn, err)
	case err != nil:
		return "", fmt.Errorf("bind as %q: %w", dn, err)
	}
	return dn, nil
}

// search finds the name of the one entry that is a user's.
func (v *Verifier) search(ctx context.Context, rule *hba.LDAP, servers []string, user string) (dn string, err error) {
	// PostgreSQL refuses these, rather than to quote them for the filter; so nobody is another one
	// here than there.
	if strings.ContainsAny(user, `*()\/`) {
		return "", fmt.Errorf("%w: invalid character in user name for LDAP authentication", ErrRefused)
	}
	filter := "(" + rule.Attribute + "=" + ldap.EscapeFilter(user) + ")"
	if rule.Filter != "" {
		filter = strings.ReplaceAll(rule.Filter, "$username", ldap.EscapeFilter(user))
	}
	scope := map[hba.Scope]int{
		hba.ScopeBase: ldap.ScopeBaseObject, hba.ScopeOne: ldap.ScopeSingleLevel, hba.ScopeSub: ldap.ScopeWholeSubtree,
	}[rule.Scope]
	var found *ldap.SearchResult
	err = v.with(ctx, rule, servers, func(c *ldap.Conn) (err error) {
		if rule.BindDN == "" && rule.BindPassword == "" {
			err = c.UnauthenticatedBind("")
		} else {
			err = c.Bind(rule.BindDN, rule.BindPassword)
		}
		if err != nil {
			return fmt.Errorf("bind for the search as %q: %w", rule.BindDN, err)
		}
		// Two are as bad as more. "1.1" is no attribute at all (RFC 4511, 4.5.1.8).
		found, err = c.Search(ldap.NewSearchRequest(rule.BaseDN, scope, ldap.NeverDerefAliases, 2, 0, false, filter, []string{"1.1"}, nil))
		if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) && found != nil {
			err = nil
		}
		return err
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("search %q for %s: %w", rule.BaseDN, filter, err)
	case len(found.Entries) == 0:
		return "", fmt.Errorf("%w: no entry of %q matches %s", ErrRefused, rule.BaseDN, filter)
	case len(found.Entries) > 1:
		return "", fmt.Errorf("%w: several entries of %q match %s", ErrRefused, rule.BaseDN, filter)
	}
	return found.Entries[0].DN, nil
}

// with has the first server answer that can be reached, and closes the connection afterwards. One that
// does not answer leaves time for those after it. Whoever did is the first to be asked the next time: of
// the rest of servers the order stays.
func (v *Verifier) with(ctx context.Context, rule *hba.LDAP, servers []string, do func(*ldap.Conn) error) error {
	var errs []error
	for i, server := range servers {
		again, err := v.ask(ctx, rule, server, len(servers)-i, do)
		if !again {
			copy(servers[1:i+1], servers[:i])
			servers[0] = server
			return err
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("connect to the directory: %w", errors.Join(errs...))
}

// ask asks one server, in its share of the time that is left for so many. again says that it was not
// reached, or did not answer.
func (v *Verifier) ask(ctx context.Context, rule *hba.LDAP, server string, left int, do func(*ldap.Conn) error) (again bool, err error) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
		defer cancel()
	}
	c, err := v.dial(ctx, rule, server)
	if err != nil {
		return true, err
	}
	defer func() { _ = c.Close() }() // twice is once
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if err = do(c); err != nil && ctx.Err() != nil {
		return true, fmt.Errorf("%s: %w", server, context.Cause(ctx))
	}
	return err != nil && ldap.IsErrorWithCode(err, ldap.ErrorNetwork), err
}

func (v *Verifier) dial(ctx context.Context, rule *hba.LDAP, server string) (*ldap.Conn, error) {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if v.TLS != nil {
		secure = v.TLS.Clone()
	}
	secure.ServerName = host
	d := net.Dialer{}
	nc, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	if rule.Scheme == "ldaps" {
		t := tls.Client(nc, secure)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, fmt.Errorf("%s: %w", server, err)
		}
		nc = t
	}
	c := ldap.NewConn(nc, rule.Scheme == "ldaps")
	c.Start()
	if rule.StartTLS {
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer stop()
		if err := c.StartTLS(secure); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s: STARTTLS: %w", server, err)
		}
	}
	return c, nil
}
