package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func selfSigned(t *testing.T, subject pkix.Name, alg x509.SignatureAlgorithm) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, SignatureAlgorithm: alg}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCertificateName(t *testing.T) {
	cert := selfSigned(t, pkix.Name{Country: []string{"FR"}, Organization: []string{"A, B"}, CommonName: "joe"}, x509.ECDSAWithSHA256)
	verified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	if name, err := CertificateName(verified, CertCN); name != "joe" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	if name, err := CertificateName(verified, CertDN); name != `CN=joe,O=A\, B,C=FR` || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	for name, cs := range map[string]*tls.ConnectionState{
		"no tls": nil, "no certificate": {}, "not verified": {PeerCertificates: []*x509.Certificate{cert}},
	} {
		if got, err := CertificateName(cs, CertCN); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, cn := range []string{"", "joe\x00evil"} {
		bad := *cert
		bad.Subject.CommonName = cn
		cs := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{&bad}, VerifiedChains: [][]*x509.Certificate{{&bad}}}
		if got, err := CertificateName(cs, CertCN); err == nil {
			t.Errorf("common name %q: %q", cn, got)
		}
	}
}

// The name must be what PostgreSQL compares, which is what OpenSSL prints.
func TestSubjectDNAgainstOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no openssl here")
	}
	cert := selfSigned(t, pkix.Name{
		Country: []string{"FR"}, Province: []string{"Île"}, Organization: []string{`#a+"b"<c>;\ `}, OrganizationalUnit: []string{"x", "y"},
		StreetAddress: []string{"s"}, PostalCode: []string{"1"}, SerialNumber: "7", CommonName: " joe ",
		ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@b.c"},
			{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "uid"},
		},
	}, x509.ECDSAWithSHA256)
	path := filepath.Join(t.TempDir(), "c.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	// XN_FLAG_RFC2253 without ASN1_STRFLGS_ESC_MSB, as be-secure-openssl.c sets it up.
	out, err := exec.Command(openssl, "x509", "-in", path, "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
	got, err := SubjectDN(cert)
	if got != want || err != nil {
		t.Errorf("got  %s\nwant %s (%v)", got, want, err)
	}
}

func TestEndPointHash(t *testing.T) {
	for alg, size := range map[x509.SignatureAlgorithm]int{x509.ECDSAWithSHA256: 32, x509.ECDSAWithSHA384: 48, x509.ECDSAWithSHA512: 64} {
		hash, err := EndPointHash(selfSigned(t, pkix.Name{CommonName: "x"}, alg))
		if len(hash) != size || err != nil {
			t.Errorf("%s: %d bytes, %v", alg, len(hash), err)
		}
	}
	if _, err := EndPointHash(&x509.Certificate{SignatureAlgorithm: x509.PureEd25519}); err == nil {
		t.Error("an Ed25519 certificate has no hash")
	}
}
