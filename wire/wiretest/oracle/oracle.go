// Package oracle starts a real PostgreSQL for tests that compare ours with it.
package oracle

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPostgreSQL is returned by Start when the machine has no PostgreSQL server.
var ErrNoPostgreSQL = errors.New("no PostgreSQL server found: install one, or name its bin directory in PGX_DEV_TEST_PGBIN")

// Options say what server to start. The zero value is a plain server that trusts everybody.
type Options struct {
	HBA  string   // the text of pg_hba.conf; empty trusts everybody
	TLS  bool     // with the certificate in Server.Cert
	Conf []string // further lines of postgresql.conf
}

// A Server is a running PostgreSQL. Stop ends it.
type Server struct {
	Bin     string // where psql and the others are
	Dir     string // holds data, the socket and the logs
	Port    int
	Version int // 150018 and such
	Cert    tls.Certificate

	cmd  *exec.Cmd
	done chan error
}

// Bin returns the directory of the newest PostgreSQL server's programs.
func Bin() (string, error) {
	if dir := os.Getenv("PGX_DEV_TEST_PGBIN"); dir != "" {
		return dir, nil
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.Reverse(dirs)
	for _, pattern := range []string{"/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.Reverse(more)
		dirs = append(dirs, more...)
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		dirs = append([]string{filepath.Dir(p)}, dirs...)
	}
	for _, dir := range dirs {
		whole := true
		for _, program := range []string{"initdb", "postgres", "psql"} {
			_, err := os.Stat(filepath.Join(dir, program))
			whole = whole && err == nil
		}
		if whole {
			return dir, nil
		}
	}
	return "", ErrNoPostgreSQL
}

// Start makes a cluster in a new temporary directory and starts it on a Unix socket and on
// 127.0.0.1. It returns once the server answers.
func Start(ctx context.Context, opts Options) (*Server, error) {
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "oracle")
	if err != nil {
		return nil, err
	}
	s := &Server{Bin: bin, Dir: dir, done: make(chan error, 1)}
	if err := s.start(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("start the oracle: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, opts Options) error {
	attr, err := s.identity()
	if err != nil {
		return err
	}
	data := filepath.Join(s.Dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(s.Bin, "initdb"), "-D", data, "-U", "postgres",
		"-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")
	initdb.SysProcAttr, initdb.Dir = attr, s.Dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if s.Port, err = freePort(); err != nil {
		return err
	}
	conf := append([]string{
		"fsync = off", "listen_addresses = '127.0.0.1'", "port = " + strconv.Itoa(s.Port),
		"unix_socket_directories = '" + s.Dir + "'", "max_connections = 40", "log_line_prefix = ''",
	}, opts.Conf...)
	if opts.TLS {
		if err := s.certificate(data); err != nil {
			return err
		}
		conf = append(conf, "ssl = on")
	}
	if err := appendFile(filepath.Join(data, "postgresql.conf"), strings.Join(conf, "\n")+"\n"); err != nil {
		return err
	}
	if opts.HBA != "" {
		if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(opts.HBA), 0o644); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(filepath.Join(s.Bin, "postgres"), "-D", data)
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = attr, s.Dir, log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() { s.done <- s.cmd.Wait() }()
	return s.wait(ctx)
}

func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			var version string
			err = conn.QueryRow(ctx, "show server_version_num").Scan(&version)
			if err == nil {
				s.Version, err = strconv.Atoi(version)
			}
			return errors.Join(err, conn.Close(ctx))
		}
		var pgErr interface{ SQLState() string }
		if errors.As(err, &pgErr) && pgErr.SQLState() != "57P03" {
			return nil // it answers, with a rule that keeps us out
		}
		select {
		case end := <-s.done:
			s.done <- end
			text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			return fmt.Errorf("postgres ended: %w: %s", errors.Join(end), bytes.TrimSpace(text))
		case <-ctx.Done():
			return errors.Join(err, ctx.Err(), s.Stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL returns the server's URL on its Unix socket.
func (s *Server) URL(user string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=postgres sslmode=disable", s.Dir, s.Port, user)
}

// Addr returns the server's TCP address.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Stop ends the server at once and removes its directory.
func (s *Server) Stop() error {
	if s.cmd != nil {
		if err := stopNow(s.cmd.Process); err == nil {
			<-s.done //nolint:errcheck // it was killed
		}
	}
	return os.RemoveAll(s.Dir)
}

// certificate makes a self-signed certificate and gives it to the server.
func (s *Server) certificate(data string) error {
	cert, certPEM, keyPEM, err := SelfSigned("localhost")
	if err != nil {
		return err
	}
	s.Cert = cert
	for name, text := range map[string][]byte{"server.crt": certPEM, "server.key": keyPEM} {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		if os.Getuid() == 0 {
			if err := os.Chown(path, 65534, 65534); err != nil {
				return err
			}
		}
	}
	return nil
}

// SelfSigned makes an ECDSA certificate for a name and for the loopback addresses, valid for an
// hour, which is also its own authority.
func SelfSigned(name string) (cert tls.Certificate, certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return cert, nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return cert, nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return cert, nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	return cert, certPEM, keyPEM, err
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, ln.Close()
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
