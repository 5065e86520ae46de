package wiretest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A Server is a pgserver.Server on a loopback port that the system picks.
type Server struct {
	// URL is where clients connect, with user "test", database "test" and no TLS. It is set
	// by Start and StartTLS.
	URL string
	// Config is the server; it may be changed before it is started.
	Config *pgserver.Server
	// Certificate is the server's, which is also its own authority, after StartTLS.
	Certificate *x509.Certificate

	l      net.Listener
	served chan error
}

// NewServer starts a server for a handler. The caller calls Close when done. It panics if
// there is no port to be had.
func NewServer(h pgserver.Handler) *Server {
	s := NewUnstartedServer(h)
	s.Start()
	return s
}

// NewUnstartedServer returns a server that Start or StartTLS starts, for tests that change its
// Config before.
func NewUnstartedServer(h pgserver.Handler) *Server {
	return &Server{Config: &pgserver.Server{Handler: h}}
}

// Start starts the server.
func (s *Server) Start() {
	if s.l != nil {
		panic("wiretest: the server is already started")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("wiretest: listen: %v", err))
	}
	s.l, s.served = l, make(chan error, 1)
	s.URL = s.url("test", "disable")
	go func() { s.served <- s.Config.Serve(l) }()
}

// StartTLS starts the server with a certificate of its own for localhost and 127.0.0.1.
// ClientConfig trusts it.
func (s *Server) StartTLS() {
	cert, err := Certificate("localhost")
	if err != nil {
		panic(fmt.Sprintf("wiretest: make a certificate: %v", err))
	}
	s.Certificate = cert.Leaf
	if s.Config.TLS == nil {
		s.Config.TLS = &tls.Config{}
	}
	s.Config.TLS.Certificates = []tls.Certificate{cert}
	s.Start()
}

// ClientConfig returns a TLS configuration for clients that trusts the server.
func (s *Server) ClientConfig() *tls.Config {
	roots := x509.NewCertPool()
	if s.Certificate != nil {
		roots.AddCert(s.Certificate)
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// Addr returns the server's address.
func (s *Server) Addr() string { return s.l.Addr().String() }

// URLFor returns the URL for a user, with a password unless it is empty.
func (s *Server) URLFor(user, password, sslmode string) string {
	u := s.url(user, sslmode)
	if password == "" {
		return u
	}
	parsed, err := url.Parse(u)
	if err != nil {
		panic(fmt.Sprintf("wiretest: %v", err))
	}
	parsed.User = url.UserPassword(user, password)
	return parsed.String()
}

func (s *Server) url(user, sslmode string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(user), Host: s.l.Addr().String(), Path: "/test",
		RawQuery: url.Values{"sslmode": {sslmode}}.Encode(),
	}
	return u.String()
}

// Close ends the server and all its sessions, and waits for them. Handlers that do not return
// when their context ends make it wait, which is a fault of theirs that a test should find.
func (s *Server) Close() {
	if s.l == nil {
		return
	}
	if err := s.Config.Close(); err != nil {
		panic(fmt.Sprintf("wiretest: close: %v", err))
	}
	if err := <-s.served; !errors.Is(err, pgserver.ErrServerClosed) {
		panic(fmt.Sprintf("wiretest: serve: %v", err))
	}
	s.l = nil
}

// Pipe serves one connection inside the process and returns the client's end. The session is
// over when closed is closed.
func Pipe(ctx context.Context, srv *pgserver.Server) (client net.Conn, closed <-chan struct{}) {
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ServeConn(ctx, server) // its end is what the client sees
	}()
	return client, done
}

// Certificate makes an ECDSA certificate for a name and for the loopback addresses. It is valid
// for a day, may be used by servers and clients, and is its own authority.
func Certificate(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
