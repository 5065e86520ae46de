package pgserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// alpn is the protocol name that TLS negotiates (PG_ALPN_PROTOCOL).
const alpn = "postgresql"

// captured is a connection that remembers which certificate was shown on it: channel binding
// needs it, and a tls.ConnectionState tells only the peer's.
type captured struct {
	net.Conn
	leaf *x509.Certificate
}

// serverTLS makes of the user's configuration one that captures certificates, negotiates the
// protocol and issues no tickets, as PostgreSQL does not.
func serverTLS(user *tls.Config) *tls.Config {
	cfg := user.Clone()
	cfg.NextProtos = []string{alpn}
	cfg.SessionTicketsDisabled = true
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	pick := cfg.GetCertificate
	certificates := cfg.Certificates
	cfg.Certificates = nil
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := choose(hello, pick, certificates)
		if err != nil {
			return nil, err
		}
		if c, ok := hello.Conn.(*captured); ok {
			if c.leaf = cert.Leaf; c.leaf == nil && len(cert.Certificate) > 0 {
				if c.leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
					return nil, err
				}
			}
		}
		return cert, nil
	}
	if inner := cfg.GetConfigForClient; inner != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := inner(hello)
			if c == nil || err != nil {
				return nil, err
			}
			return serverTLS(c), nil
		}
	}
	return cfg
}

// choose is crypto/tls's own choice of a certificate.
func choose(hello *tls.ClientHelloInfo, pick func(*tls.ClientHelloInfo) (*tls.Certificate, error), certificates []tls.Certificate) (*tls.Certificate, error) {
	if pick != nil && (len(certificates) == 0 || hello.ServerName != "") {
		if cert, err := pick(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if len(certificates) == 0 {
		return nil, errors.New("pgserver: the TLS configuration has no certificate")
	}
	for i := range certificates {
		if hello.SupportsCertificate(&certificates[i]) == nil {
			return &certificates[i], nil
		}
	}
	return &certificates[0], nil
}
