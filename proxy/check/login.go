package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// facts is asked of each server once somebody has logged in.
const facts = `SELECT split_part(current_setting('server_version'), ' ', 1), pg_is_in_recovery(),
 current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
 current_setting('max_prepared_transactions')::int,
 CASE WHEN pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()
  THEN coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000, 0) ELSE 0 END,
 CASE WHEN pg_is_in_recovery() THEN coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0) ELSE 0 END`

// login logs in, trying each password, and asks what there is to know.
func (s *Server) login(ctx context.Context, l *Login, d *conf.Database, o Options, security *security) error {
	passwords := append([]string{l.settings.Password}, l.settings.Passwords...)
	var first error
	for _, password := range passwords {
		err := s.try(ctx, l, password, d, o, security)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || !strings.HasPrefix(pe.Code, "28") {
			break // no other password would help
		}
	}
	return first
}

func (s *Server) try(ctx context.Context, l *Login, password string, d *conf.Database, o Options, security *security) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("no answer within %v", o.Timeout))
	defer cancel()
	cfg, err := config(d, l, password, security)
	if err != nil {
		return err
	}
	if o.Dial != nil {
		cfg.DialFunc = o.Dial
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return plainer(ctx, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if s.Role != "" {
		return nil // another login has asked
	}
	_, s.TLS = conn.Conn().(*tls.Conn)
	best := time.Duration(0)
	for range 3 {
		start := time.Now()
		if _, err := conn.Exec(ctx, "").ReadAll(); err != nil {
			return plainer(ctx, err)
		}
		if took := time.Since(start); best == 0 || took < best {
			best = took
		}
	}
	s.Latency = float64(best.Microseconds()) / 1000
	rows, err := conn.Exec(ctx, facts).ReadAll()
	if err != nil {
		return plainer(ctx, err)
	}
	if len(rows) != 1 || len(rows[0].Rows) != 1 || len(rows[0].Rows[0]) != 6 {
		return errors.New("the server is not PostgreSQL: it did not say what it is")
	}
	row := rows[0].Rows[0]
	s.Version = string(row[0])
	s.Role = string(conf.Primary)
	if string(row[1]) == "t" {
		s.Role = string(conf.Replica)
	}
	_, err = fmt.Sscan(strings.Join([]string{string(row[2]), string(row[3]), string(row[4]), string(row[5])}, " "),
		&s.Connections, &s.prepared, &s.LagMillis, &s.LagBytes)
	if err != nil {
		return fmt.Errorf("read what the server is: %w", err)
	}
	return nil
}

// plainer takes pgconn's words around an error away: who and where is known.
func plainer(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return op
	}
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		if inner := connect.Unwrap(); inner != nil {
			return inner
		}
	}
	return err
}

// config returns how to log in. Nothing of the process's own environment counts.
func config(d *conf.Database, l *Login, password string, security *security) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 sslmode=disable target_session_attrs=any")
	if err != nil {
		return nil, fmt.Errorf("make a configuration: %w", err)
	}
	cfg.Host, cfg.Port = d.Host, d.PortNumber()
	cfg.User, cfg.Password, cfg.Database = l.User, password, l.Database
	cfg.Fallbacks, cfg.ValidateConnect = nil, nil
	cfg.RuntimeParams = map[string]string{"application_name": "pgx-dev proxy check"}
	maps.Copy(cfg.RuntimeParams, d.Parameters)
	if strings.HasPrefix(d.Host, "/") {
		if security.required() {
			return nil, fmt.Errorf("tls_verify = %q cannot be kept on a Unix socket, where there is no TLS", security.mode)
		}
		return cfg, nil
	}
	cfg.TLSConfig = security.config(d.Host)
	if security.mode == conf.TLSPrefer {
		cfg.Fallbacks = []*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port}}
	}
	return cfg, nil
}

// security is how connections to servers are encrypted.
type security struct {
	mode  conf.TLSVerify
	roots *x509.CertPool
	certs []tls.Certificate
}

// newTLS reads the files of general.tls_server_….
func newTLS(c *conf.Config) (*security, []Problem) {
	g := &c.General
	s := &security{mode: g.TLSVerify}
	if s.mode == "" {
		s.mode = conf.TLSPrefer
	}
	var problems []Problem
	fatal := func(format string, args ...any) {
		problems = append(problems, Problem{Fatal: true, Text: fmt.Sprintf(format, args...)})
	}
	if g.TLSServerCACertificate != "" {
		s.roots = x509.NewCertPool()
		switch pem, err := os.ReadFile(g.TLSServerCACertificate); {
		case err != nil:
			fatal("tls_server_ca_certificate: %v", err)
		case !s.roots.AppendCertsFromPEM(pem):
			fatal("tls_server_ca_certificate: %s holds no certificate", g.TLSServerCACertificate)
		}
	}
	if g.TLSServerCertificate != "" && g.TLSServerPrivateKey != "" {
		cert, err := tls.LoadX509KeyPair(g.TLSServerCertificate, g.TLSServerPrivateKey)
		if err != nil {
			fatal("tls_server_certificate: %v", err)
		} else {
			s.certs = append(s.certs, cert)
		}
	}
	return s, problems
}

func (s *security) required() bool {
	return s.mode != conf.TLSDisabled && s.mode != conf.TLSPrefer
}

func (s *security) config(host string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: s.roots, Certificates: s.certs}
	switch s.mode {
	case conf.TLSDisabled:
		return nil
	case conf.TLSPrefer, conf.TLSRequire:
		cfg.InsecureSkipVerify = true
	case conf.TLSVerifyCA:
		cfg.InsecureSkipVerify = true // but for the name
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			o := x509.VerifyOptions{Roots: s.roots, Intermediates: x509.NewCertPool()}
			for _, cert := range cs.PeerCertificates[1:] {
				o.Intermediates.AddCert(cert)
			}
			_, err := cs.PeerCertificates[0].Verify(o)
			return err
		}
	}
	return cfg
}
