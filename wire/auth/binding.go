package auth

import (
	"crypto"
	_ "crypto/sha256" // the hashes certificates are signed with
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// Channel binding types.
const (
	BindEndPoint = "tls-server-end-point" // RFC 5929 section 4: PostgreSQL's only one
	BindExporter = "tls-exporter"         // RFC 9266: newer, TLS 1.3 and later
)

// A Binding is the channel binding data of one TLS connection, by type. It is nil where there
// is no TLS or no data. Both sides compute the same bytes only if nobody sits between them.
type Binding map[string][]byte

// ServerBinding computes the binding data on the server's side. The leaf is the certificate
// the server showed, which a tls.ConnectionState does not tell.
func ServerBinding(cs *tls.ConnectionState, leaf *x509.Certificate) Binding {
	return binding(cs, leaf)
}

// ClientBinding computes the binding data on the client's side.
func ClientBinding(cs *tls.ConnectionState) Binding {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return binding(cs, nil)
	}
	return binding(cs, cs.PeerCertificates[0])
}

func binding(cs *tls.ConnectionState, leaf *x509.Certificate) Binding {
	if cs == nil {
		return nil
	}
	b := Binding{}
	if leaf != nil {
		if hash, err := EndPointHash(leaf); err == nil {
			b[BindEndPoint] = hash
		}
	}
	if cs.Version >= tls.VersionTLS13 {
		// RFC 9266 section 2: label, no context, 32 bytes. Before TLS 1.3 it would need the
		// extended master secret on both sides, so it is left out.
		if key, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
			b[BindExporter] = key
		}
	}
	if len(b) == 0 {
		return nil
	}
	return b
}

// EndPointHash is the data of tls-server-end-point: the certificate hashed with the hash of
// its own signature, where MD5 and SHA-1 are replaced by SHA-256 (RFC 5929 section 4.1). It is
// an error for a signature without one hash, such as Ed25519's.
func EndPointHash(cert *x509.Certificate) ([]byte, error) {
	var h crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h = crypto.SHA512
	default:
		return nil, fmt.Errorf("channel binding: a certificate signed with %s has no hash to bind to", cert.SignatureAlgorithm)
	}
	sum := h.New()
	sum.Write(cert.Raw)
	return sum.Sum(nil), nil
}
