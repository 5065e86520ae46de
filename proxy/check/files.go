package check

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
)

// soon is how long before a certificate ends that is worth telling.
const soon = 30 * 24 * time.Hour

// Files reads every file that the configuration names.
func Files(c *conf.Config) []Problem {
	out := []Problem{}
	fatal := func(format string, args ...any) {
		out = append(out, Problem{Fatal: true, Text: fmt.Sprintf(format, args...)})
	}
	g, p := &c.General, &c.PgBouncer
	if g.TLSCertificate != "" && g.TLSPrivateKey != "" {
		cert, err := tls.LoadX509KeyPair(g.TLSCertificate, g.TLSPrivateKey)
		switch {
		case err != nil:
			fatal("tls_certificate: %v", err)
		case cert.Leaf != nil && time.Now().After(cert.Leaf.NotAfter):
			fatal("tls_certificate: it has ended on %s", cert.Leaf.NotAfter.Format(time.DateOnly))
		case cert.Leaf != nil && time.Until(cert.Leaf.NotAfter) < soon:
			out = append(out, Problem{Text: "tls_certificate: it ends on " + cert.Leaf.NotAfter.Format(time.DateOnly)})
		}
	}
	if g.TLSClientCACertificate != "" {
		pem, err := os.ReadFile(g.TLSClientCACertificate)
		switch {
		case err != nil:
			fatal("tls_client_ca_certificate: %v", err)
		case !x509.NewCertPool().AppendCertsFromPEM(pem):
			fatal("tls_client_ca_certificate: %s holds no certificate", g.TLSClientCACertificate)
		}
	}
	if c.HasRules() {
		if _, err := hba.Load(p.AuthHBAFile); err != nil {
			fatal("auth_hba_file: %v", err)
		}
	}
	if c.HasDirectory() {
		if _, err := hba.ParseString(c.DirectoryRules()); err != nil {
			fatal("auth_ldap_options: %v", err)
		}
	}
	if p.AuthIdentFile != "" && c.HasRules() {
		if _, err := hba.LoadIdent(p.AuthIdentFile); err != nil {
			fatal("auth_ident_file: %v", err)
		}
	}
	if p.AuthFile != "" {
		if _, err := os.ReadFile(p.AuthFile); err != nil {
			fatal("auth_file: %v", err)
		}
	}
	for i := range c.ShardedTables {
		if path := c.ShardedTables[i].CentroidsPath; path != "" {
			if err := centroids(path); err != nil {
				fatal("centroids_path: %v", err)
			}
		}
	}
	for i := range c.Plugins {
		if _, err := os.Stat(c.Plugins[i].File()); err != nil {
			fatal("plugin %s: %v", c.Plugins[i].Name, err)
		}
	}
	return out
}

func centroids(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var vectors [][]float32
	if err := json.Unmarshal(b, &vectors); err != nil {
		return fmt.Errorf("%s is no list of vectors: %w", path, err)
	}
	if len(vectors) == 0 {
		return fmt.Errorf("%s holds no vector", path)
	}
	return nil
}
