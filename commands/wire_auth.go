package commands

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
	"github.com/pgx-dev/pgx-dev/wire/auth/ldap"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// wirePassword reads the password, or makes one.
func wirePassword(cfg config.Wire) (string, error) {
	if cfg.PasswordFile == "" {
		return rand.Text(), nil
	}
	b, err := os.ReadFile(cfg.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
		return "", fmt.Errorf("the first line of %s is empty, and should be a password", cfg.PasswordFile)
	}
	return string(line), nil
}

// A wireAuth decides who is let in: by the rules, or this user on a Unix socket and by SCRAM
// over TCP. Its files can be read again.
type wireAuth struct {
	cfg      config.Wire
	made     string // the password that this run has, unless a file has it
	current  atomic.Pointer[pgserver.Authenticator]
	password atomic.Pointer[string]
}

func newWireAuth(cfg config.Wire) (*wireAuth, error) {
	a := &wireAuth{cfg: cfg}
	return a, a.reload()
}

// Authenticate lets somebody in by what the files said last.
func (a *wireAuth) Authenticate(ctx context.Context, c *pgserver.AuthConn) (*pgserver.Identity, error) {
	return (*a.current.Load()).Authenticate(ctx, c)
}

// reload reads the files. After an error everything is as it was.
func (a *wireAuth) reload() error {
	password := a.made
	if a.cfg.PasswordFile != "" || password == "" {
		var err error
		if password, err = wirePassword(a.cfg); err != nil {
			return err
		}
	}
	next, err := wireRules(a.cfg, password)
	if err != nil {
		return err
	}
	a.made = password
	a.password.Store(&password)
	a.current.Store(&next)
	return nil
}

func wireRules(cfg config.Wire, password string) (pgserver.Authenticator, error) {
	secret, err := auth.NewSCRAMSecret(password, 0)
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	secrets := auth.Secrets{cmp.Or(cfg.User, "postgres"): secret.Text()}
	if cfg.HBA == "" {
		scram, trust := pgserver.SCRAM(secrets), pgserver.Trust()
		return pgserver.AuthenticatorFunc(func(ctx context.Context, c *pgserver.AuthConn) (*pgserver.Identity, error) {
			if c.Local() { // the socket is ours alone
				return trust.Authenticate(ctx, c)
			}
			return scram.Authenticate(ctx, c)
		}), nil
	}
	rules := pgserver.Rules{Secrets: secrets, LDAP: new(ldap.Verifier).Verify}
	if rules.HBA, err = hba.Load(cfg.HBA); err != nil {
		return nil, &ExitError{ExitUsage, err}
	}
	if cfg.Ident != "" {
		if rules.Ident, err = hba.LoadIdent(cfg.Ident); err != nil {
			return nil, &ExitError{ExitUsage, err}
		}
	}
	checked, err := pgserver.NewRules(rules)
	if err != nil {
		return nil, &ExitError{ExitUsage, fmt.Errorf("%s: %w", cfg.HBA, err)}
	}
	return checked, nil
}

// passFile writes the password where libpq and pgx read it, and returns how to take the
// file away again.
func (f *wireFront) passFile(key string) (path string, cleanup func(), err error) {
	dir, err := place.Run(fmt.Sprintf("%s#%d", key, f.port))
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "pgpass")
	if err := f.writePassFile(path); err != nil {
		return "", nil, err
	}
	return path, func() {
		_ = os.Remove(path)
		_ = os.Remove(dir) // a socket may be in it
	}, nil
}

func (f *wireFront) writePassFile(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	escape := func(s string) string {
		return string(bytes.ReplaceAll(bytes.ReplaceAll([]byte(s), []byte(`\`), []byte(`\\`)), []byte(":"), []byte(`\:`)))
	}
	fmt.Fprintf(w, "%s:%d:*:%s:%s\n", escape(f.host()), f.port, escape(f.user), escape(f.password))
	return errors.Join(w.Flush(), file.Close())
}
