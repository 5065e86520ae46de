package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// wireServing are the flags of every command that serves something by pgserver.
type wireServing struct {
	Listen          listenFlag    `placeholder:"WHERE" help:"unix[:DIR] or tcp[:[HOST:]PORT] (default: unix, in a private directory)."`
	HBA             string        `name:"hba" placeholder:"FILE" complete:"file" help:"Let clients in by these rules, in pg_hba.conf's syntax."`
	Ident           string        `placeholder:"FILE" complete:"file" help:"Name maps for these rules, in pg_ident.conf's syntax."`
	User            string        `placeholder:"NAME" help:"The role that has a password (default: postgres)."`
	PasswordFile    string        `placeholder:"FILE" complete:"file" help:"Take the password from this file's first line, instead of making one."`
	TLSCert         string        `name:"tls-cert" placeholder:"FILE" complete:"file" help:"The server's certificate; turns TLS on."`
	TLSKey          string        `name:"tls-key" placeholder:"FILE" complete:"file" help:"The certificate's private key."`
	TLSClientCA     string        `name:"tls-client-ca" placeholder:"FILE" complete:"file" help:"The authorities of client certificates."`
	RequireTLS      bool          `name:"require-tls" help:"Refuse TCP clients without TLS."`
	MaxConns        int           `placeholder:"N" help:"At most so many connections."`
	MaxConnsPerAddr int           `name:"max-conns-per-addr" placeholder:"N" help:"At most so many connections of one address, on TCP."`
	MaxMessage      int           `placeholder:"BYTES" help:"The longest message of a client (default: 64 MiB)."`
	StartupTimeout  time.Duration `placeholder:"TIME" help:"How long a client may take to be authenticated (default: 1m)."`
	IdleTimeout     time.Duration `placeholder:"TIME" help:"End sessions that are silent for so long (90s, 10m)."`
	WriteTimeout    time.Duration `placeholder:"TIME" help:"How long a client may take to receive a block of an answer."`
	detachFlag
}

func (*wireServing) takesCommand() {}

// overlay lays the flags over the configuration.
func (f *wireServing) overlay(cfg config.Wire) (config.Wire, error) {
	override(&cfg.HBA, f.HBA)
	override(&cfg.Ident, f.Ident)
	override(&cfg.User, f.User)
	override(&cfg.PasswordFile, f.PasswordFile)
	override(&cfg.TLSCert, f.TLSCert)
	override(&cfg.TLSKey, f.TLSKey)
	override(&cfg.TLSClientCA, f.TLSClientCA)
	override(&cfg.RequireTLS, f.RequireTLS)
	override(&cfg.MaxConns, f.MaxConns)
	override(&cfg.MaxConnsPerAddr, f.MaxConnsPerAddr)
	override(&cfg.MaxMessage, f.MaxMessage)
	override(&cfg.StartupTimeout, f.StartupTimeout)
	override(&cfg.IdleTimeout, f.IdleTimeout)
	override(&cfg.WriteTimeout, f.WriteTimeout)
	if err := cfg.Validate(); err != nil {
		return cfg, &ExitError{ExitUsage, fmt.Errorf("wire: %w", err)}
	}
	return cfg, nil
}

// A wireServer is a server with the files that it can read again.
type wireServer struct {
	pgserver.Server
	auth *wireAuth
	tls  *pgserver.TLSFiles // nil: none
}

func newWireServer(env *Env, cfg config.Wire, h pgserver.Handler) (*wireServer, error) {
	s := &wireServer{Server: pgserver.Server{
		Handler: h, ErrorLog: env.Log, RequireTLS: cfg.RequireTLS, MaxMessage: cfg.MaxMessage,
		MaxConns: cfg.MaxConns, MaxConnsPerAddr: cfg.MaxConnsPerAddr,
		StartupTimeout: cfg.StartupTimeout, IdleTimeout: cfg.IdleTimeout, WriteTimeout: cfg.WriteTimeout,
	}}
	var err error
	if s.auth, err = newWireAuth(cfg); err != nil {
		return nil, err
	}
	s.Auth = s.auth
	if cfg.TLSCert != "" {
		s.tls = &pgserver.TLSFiles{Cert: cfg.TLSCert, Key: cfg.TLSKey, ClientCA: cfg.TLSClientCA, ErrorLog: env.Log}
		if s.TLS, err = s.tls.Config(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// reload reads the files of rules, passwords and certificates again. What cannot be used
// stays as it was.
func (s *wireServer) reload() error {
	err := s.auth.reload()
	if s.tls != nil {
		err = errors.Join(err, s.tls.Reload())
	}
	return err
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
	srv, err := newWireServer(env, cfg, h)
	if err != nil {
		return err
	}
	front, err := f.Listen.front(key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.Close()) }()
	front.user, front.database = cmp.Or(cfg.User, "postgres"), database
	shown, renew := front.url(false), func() error { return nil }
	if f.Listen.tcp() || cfg.HBA != "" {
		front.password = *srv.auth.password.Load()
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
		renew = func() error {
			front.password = *srv.auth.password.Load()
			return front.writePassFile(path)
		}
	}

	served := make(chan error, 1)
	go func() { served <- srv.Serve(front.Listener) }()
	if env.Command != nil {
		err = front.run(ctx, env)
	} else {
		reloads := env.reloads()
		err = env.ready(shown)
		for waiting := err == nil; waiting; {
			select {
			case <-reloads:
				if e := errors.Join(srv.reload(), renew()); e != nil {
					env.UI.Warn("not everything was read again: %v", e)
				} else {
					env.Log.Info("files were read again")
				}
			case <-ctx.Done():
				waiting = false
			case e := <-served:
				served <- e
				waiting = false
			}
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
