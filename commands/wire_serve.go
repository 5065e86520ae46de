package commands

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// wireServing are the flags of every command that serves something by pgserver.
type wireServing struct {
	Listen       wireListen    `placeholder:"WHERE" help:"unix[:DIR] or tcp[:[HOST:]PORT] (default: unix, in a private directory)."`
	HBA          string        `name:"hba" placeholder:"FILE" complete:"file" help:"Let clients in by these rules, in pg_hba.conf's syntax."`
	User         string        `placeholder:"NAME" help:"The role that has a password (default: postgres)."`
	PasswordFile string        `placeholder:"FILE" complete:"file" help:"Take the password from this file's first line, instead of making one."`
	TLSCert      string        `name:"tls-cert" placeholder:"FILE" complete:"file" help:"The server's certificate; turns TLS on."`
	TLSKey       string        `name:"tls-key" placeholder:"FILE" complete:"file" help:"The certificate's private key."`
	RequireTLS   bool          `name:"require-tls" help:"Refuse TCP clients without TLS."`
	MaxConns     int           `placeholder:"N" help:"At most so many connections."`
	IdleTimeout  time.Duration `placeholder:"TIME" help:"End sessions that are silent for so long (90s, 10m)."`
}

func (*wireServing) takesCommand() {}

// overlay lays the flags over the configuration.
func (f *wireServing) overlay(cfg config.Wire) (config.Wire, error) {
	override(&cfg.HBA, f.HBA)
	override(&cfg.User, f.User)
	override(&cfg.PasswordFile, f.PasswordFile)
	override(&cfg.TLSCert, f.TLSCert)
	override(&cfg.TLSKey, f.TLSKey)
	override(&cfg.RequireTLS, f.RequireTLS)
	override(&cfg.MaxConns, f.MaxConns)
	override(&cfg.IdleTimeout, f.IdleTimeout)
	if err := cfg.Validate(); err != nil {
		return cfg, &ExitError{ExitUsage, fmt.Errorf("wire: %w", err)}
	}
	return cfg, nil
}

// serve serves a handler until interrupted, or as long as the command behind "--" runs. key
// stands for what is served.
func (f *wireServing) serve(ctx context.Context, env *Env, h pgserver.Handler, database, key string) (err error) {
	file, err := env.Config()
	if err != nil {
		return err
	}
	cfg, err := f.overlay(file.Wire)
	if err != nil {
		return err
	}
	password, err := wirePassword(cfg)
	if err != nil {
		return err
	}
	srv := &pgserver.Server{
		Handler: h, ErrorLog: env.Log, RequireTLS: cfg.RequireTLS, MaxConns: cfg.MaxConns, MaxMessage: cfg.MaxMessage,
		StartupTimeout: cfg.StartupTimeout, IdleTimeout: cfg.IdleTimeout, WriteTimeout: cfg.WriteTimeout,
	}
	if srv.Auth, err = wireAuth(cfg, password); err != nil {
		return err
	}
	if srv.TLS, err = wireTLS(cfg); err != nil {
		return err
	}
	front, err := f.Listen.open(key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.Close()) }()
	front.user, front.database = cmp.Or(cfg.User, "postgres"), database
	shown := front.url(false)
	if f.Listen.tcp() || cfg.HBA != "" {
		front.password = password
	}
	if f.Listen.tcp() {
		if srv.TLS != nil {
			front.sslmode = "require"
		}
		path, cleanup, perr := front.passFile(key)
		if perr != nil {
			return perr
		}
		defer cleanup()
		shown = front.url(false) + "&passfile=" + url.QueryEscape(path)
	}

	served := make(chan error, 1)
	go func() { served <- srv.Serve(front.Listener) }()
	if env.Command != nil {
		err = front.run(ctx, env)
	} else {
		env.UI.Printf("%s\n", shown)
		select {
		case <-ctx.Done():
		case err := <-served:
			served <- err
		}
	}
	polite, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(polite); err != nil {
		env.Log.Info("sessions were cut off", "error", err)
	}
	if e := <-served; !errors.Is(e, pgserver.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

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

// wireAuth decides who is let in: by the rules, or this user on a Unix socket and by SCRAM
// over TCP.
func wireAuth(cfg config.Wire, password string) (pgserver.Authenticator, error) {
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
	rules := pgserver.Rules{Secrets: secrets}
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

// wireTLS loads the certificate; nil is no TLS.
func wireTLS(cfg config.Wire) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{cert}}
	if cfg.TLSClientCA != "" {
		pem, err := os.ReadFile(cfg.TLSClientCA)
		if err != nil {
			return nil, fmt.Errorf("load the authorities of clients: %w", err)
		}
		out.ClientCAs, out.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !out.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no certificate in %s", cfg.TLSClientCA)
		}
	}
	return out, nil
}

// passFile writes the password where libpq and pgx read it, and returns how to take the
// file away again.
func (f *wireFront) passFile(key string) (path string, cleanup func(), err error) {
	dir, err := place.Run(fmt.Sprintf("%s#%d", key, f.port))
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "pgpass")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", nil, err
	}
	w := bufio.NewWriter(file)
	escape := func(s string) string {
		return string(bytes.ReplaceAll(bytes.ReplaceAll([]byte(s), []byte(`\`), []byte(`\\`)), []byte(":"), []byte(`\:`)))
	}
	fmt.Fprintf(w, "%s:%d:*:%s:%s\n", escape(f.host()), f.port, escape(f.user), escape(f.password))
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		return "", nil, err
	}
	return path, func() {
		_ = os.Remove(path)
		_ = os.Remove(dir) // a socket may be in it
	}, nil
}
