package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// rules are those of a pg_hba.conf, and the names that they map. They are read when the configuration
// is, so that a file that somebody is writing, or a mistake in it, shuts nobody out.
type rules struct {
	hba   *hba.Rules
	ident *hba.Ident
}

// readRules reads what a configuration has of them; nil where nobody logs in by them.
func readRules(c *conf.Config) (*rules, error) {
	if !c.HasRules() {
		return nil, nil
	}
	r := &rules{}
	var err error
	if r.hba, err = hba.Load(c.PgBouncer.AuthHBAFile); err != nil {
		return nil, fmt.Errorf("auth_hba_file: %w", err)
	}
	if c.PgBouncer.AuthIdentFile != "" {
		if r.ident, err = hba.LoadIdent(c.PgBouncer.AuthIdentFile); err != nil {
			return nil, fmt.Errorf("auth_ident_file: %w", err)
		}
	}
	_, err = pgserver.NewRules(pgserver.Rules{HBA: r.hba, Ident: r.ident, Secrets: auth.SecretFunc(func(context.Context, auth.SecretRequest) (auth.Secret, error) {
		return auth.Secret{}, auth.ErrNoSuchRole
	})})
	if err != nil {
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
		return nil, errors.New("auth_type hba needs auth_hba_file")
	case err == nil:
		b.read.Store(&readRulebook{c, r})
		return r, nil
	case last != nil && last.of.PgBouncer.AuthHBAFile == c.PgBouncer.AuthHBAFile:
		return last.rules, nil
	}
	return nil, err
}
