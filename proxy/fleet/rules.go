package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
	"github.com/pgx-dev/pgx-dev/wire/auth/ldap"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// rules are those of a pg_hba.conf, the names that they map, and those of auth_ldap_options. They are
// read when the configuration is, so that a file that somebody is writing, or a mistake in it, shuts
// nobody out.
type rules struct {
	hba       *hba.Rules
	ident     *hba.Ident
	directory *hba.Rules
}

// readRules reads what a configuration has of them; nil where nobody logs in by them.
func readRules(c *conf.Config) (*rules, error) {
	if !c.HasRules() && !c.HasDirectory() {
		return nil, nil
	}
	r := &rules{}
	var err error
	if c.HasDirectory() {
		if r.directory, err = hba.ParseString(c.DirectoryRules()); err != nil {
			if mistake, ok := errors.AsType[*hba.ParseError](err); ok { // the lines are not the user's
				err = errors.New(mistake.Message)
			}
			return nil, fmt.Errorf("auth_ldap_options: %w", err)
		}
	}
	if !c.HasRules() {
		return r, nil
	}
	if r.hba, err = hba.Load(c.PgBouncer.AuthHBAFile); err != nil {
		return nil, fmt.Errorf("auth_hba_file: %w", err)
	}
	if c.PgBouncer.AuthIdentFile != "" {
		if r.ident, err = hba.LoadIdent(c.PgBouncer.AuthIdentFile); err != nil {
			return nil, fmt.Errorf("auth_ident_file: %w", err)
		}
	}
	if _, err = (&Auth{}).checked(r, conf.AuthHBA, "", nil); err != nil {
		return nil, fmt.Errorf("auth_hba_file: %w", err)
	}
	return r, nil
}

// A rulebook has the rules of the configuration in effect.
type rulebook struct{ read atomic.Pointer[readRulebook] }

type readRulebook struct {
	of *conf.Config
	*rules
}

// rules returns the rules of a configuration. A mistake is found where the configuration is taken into
// effect: if there is one all the same, as when a file has gone since, the last ones hold.
func (b *rulebook) rules(c *conf.Config) (*rules, error) {
	last := b.read.Load()
	if last != nil && last.of == c {
		return last.rules, nil
	}
	r, err := readRules(c)
	switch {
	case err == nil && r == nil:
		return nil, errors.New("auth_type hba needs auth_hba_file, and ldap auth_ldap_options")
	case err == nil:
		b.read.Store(&readRulebook{c, r})
		return r, nil
	case last != nil && last.of.PgBouncer.AuthHBAFile == c.PgBouncer.AuthHBAFile && last.of.PgBouncer.AuthLDAPOptions == c.PgBouncer.AuthLDAPOptions:
		return last.rules, nil
	}
	return nil, err
}

// rules returns what decides about a client who has these secrets: the rules of the pg_hba.conf, or the
// directory.
func (a *Auth) rules(cfg *conf.Config, method conf.AuthType, database string, secrets []auth.Secret) (*pgserver.Rules, error) {
	r, err := a.book.rules(cfg)
	if err != nil {
		return nil, err
	}
	return a.checked(r, method, database, secrets)
}

func (a *Auth) checked(r *rules, method conf.AuthType, database string, secrets []auth.Secret) (*pgserver.Rules, error) {
	out := pgserver.Rules{
		HBA: r.hba, Ident: r.ident,
		LDAP: func(ctx context.Context, rule *hba.LDAP, user, password string) (string, error) {
			dn, err := new(ldap.Verifier).Verify(ctx, rule, user, password)
			if err == nil {
				a.Keys.put(user, database, pool.Credentials{Password: password})
			}
			return dn, err
		},
		Secrets: auth.SecretFunc(func(context.Context, auth.SecretRequest) (auth.Secret, error) {
			if len(secrets) == 0 {
				return auth.Secret{}, auth.ErrNoSuchRole
			}
			return secrets[0], nil
		}),
	}
	if method == conf.AuthLDAP {
		out.HBA = r.directory
	}
	if out.HBA == nil { // of a user whose own auth_type this is
		return nil, fmt.Errorf("auth_type %s needs its rules: auth_hba_file for hba, auth_ldap_options for ldap", method)
	}
	return pgserver.NewRules(out)
}

// directory lets in a user without an entry whom a directory knows, where rules ask one. Neither an
// identity nor an error says that they do not. The servers are given the same password.
func (a *Auth) directory(ctx context.Context, c *pgserver.AuthConn, cfg *conf.Config) (*pgserver.Identity, error) {
	method := cfg.AuthTypeOf(nil)
	if method != conf.AuthHBA && method != conf.AuthLDAP || a.Keys == nil {
		return nil, nil
	}
	r, err := a.rules(cfg, method, c.Database(), nil)
	if err != nil {
		return nil, err
	}
	if rule := r.Match(ctx, c); rule == nil || rule.Method != hba.ByLDAP {
		return nil, nil
	}
	return r.Authenticate(ctx, c)
}
