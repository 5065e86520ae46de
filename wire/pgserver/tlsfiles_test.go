package pgserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

// certFiles returns a new certificate as the text of its two files.
func certFiles(t *testing.T) (cert tls.Certificate, certPEM, keyPEM []byte) {
	t.Helper()
	cert, err := wiretest.Certificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A renewed certificate is served from the next handshake on; a broken or half-written one
// changes nothing, and a session goes on whatever happens.
func TestTLSFiles(t *testing.T) {
	dir := t.TempDir()
	files := &pgserver.TLSFiles{Cert: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k")}
	if _, err := files.Config(); err == nil {
		t.Fatal("files that are not there were taken")
	}
	first, firstCert, firstKey := certFiles(t)
	second, secondCert, secondKey := certFiles(t)
	write(t, files.Cert, firstCert)
	write(t, files.Key, firstKey)
	cfg, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, &pgserver.Server{Handler: &numbers{}, TLS: cfg})
	// shown returns the certificate that a new connection gets, verified in full.
	shown := func(trusted tls.Certificate, negotiation string) []byte {
		t.Helper()
		c, err := pgx.ParseConfig(strings.Replace(url, "disable", "verify-full", 1) + "&sslnegotiation=" + negotiation)
		if err != nil {
			t.Fatal(err)
		}
		c.TLSConfig.RootCAs = x509.NewCertPool()
		c.TLSConfig.RootCAs.AddCert(trusted.Leaf)
		var seen []byte
		c.TLSConfig.VerifyConnection = func(cs tls.ConnectionState) error {
			seen = cs.PeerCertificates[0].Raw
			return nil
		}
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		if _, err := conn.Exec(t.Context(), "count 1"); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	steps := []struct {
		name  string
		write func()
		want  tls.Certificate
	}{
		{"at first", func() {}, first},
		{"half renewed", func() { write(t, files.Cert, secondCert) }, first},
		{"renewed", func() { write(t, files.Key, secondKey) }, second},
		{"broken", func() { write(t, files.Cert, []byte("nonsense")) }, second},
		{"gone", func() { _ = os.Remove(files.Key) }, second},
		{"renamed over", func() {
			write(t, files.Cert, firstCert)
			write(t, files.Key+"2", firstKey)
			if err := os.Rename(files.Key+"2", files.Key); err != nil {
				t.Fatal(err)
			}
		}, first},
	}
	for _, s := range steps {
		s.write()
		for _, negotiation := range []string{"postgres", "direct"} {
			if !bytes.Equal(shown(s.want, negotiation), s.want.Certificate[0]) {
				t.Errorf("%s, %s: the wrong certificate", s.name, negotiation)
			}
		}
	}
	write(t, files.Cert, []byte("nonsense"))
	if err := files.Reload(); err == nil {
		t.Error("nonsense was reloaded")
	}
	shown(first, "postgres")
}
