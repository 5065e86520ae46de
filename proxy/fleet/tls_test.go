package fleet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// certificate makes one that signs itself, for a server and a client called "by_scram".
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "by_scram"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestTLSLogins has clients log in over TLS: by a password that the servers know, of which one is a
// replica, and with a certificate where one is demanded.
func TestTLSLogins(t *testing.T) {
	a, onA := strict(t)
	b, onB := strict(t) // stands for a replica
	for _, admin := range []*pgx.Conn{onA, onB} {
		if _, err := admin.Exec(t.Context(), "GRANT pg_read_all_settings TO by_scram"); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := certificate(t)
	var current atomic.Pointer[conf.Config]
	front := func(change func(c *conf.Config)) (url string) {
		c := configOf(t, a, b)
		c.General.TLSCertificate, c.General.TLSPrivateKey, c.General.ReadWriteSplit = cert, key, conf.ExcludePrimary
		c.Users = nil
		change(c)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		current.Store(c)
		keys := &fleet.Keyring{}
		source, err := fleet.FromConfig(c, keys)
		if err != nil {
			t.Fatal(err)
		}
		f := fleet.New(source, nil)
		auth := fleet.NewAuth(current.Load, false)
		auth.Keys, auth.Fleet = keys, f
		secure, err := fleet.ClientTLS(&c.General)
		if err != nil {
			t.Fatal(err)
		}
		return "postgres://by_scram:%s@" + listen(t, f, proxy.Config{Lookup: f.Lookup, Auth: auth, TLS: secure}) + "/db?sslmode=%s"
	}
	login := func(url, password, mode string, own bool) (*pgx.Conn, error) {
		cfg, err := pgx.ParseConfig(fmt.Sprintf(url, password, mode))
		if err != nil {
			t.Fatal(err)
		}
		if own {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			cfg.TLSConfig.Certificates = []tls.Certificate{pair}
		}
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			t.Cleanup(func() { _ = c.Close(context.Background()) })
		}
		return c, err
	}

	t.Run("passthrough with a replica", func(t *testing.T) {
		url := front(func(c *conf.Config) { c.General.PassthroughAuth = conf.PassthroughEnabled })
		if _, err := login(url, "secret", "disable", false); code(err) != "28000" {
			t.Errorf("in the clear: %v", err)
		}
		if _, err := login(url, "wrong", "require", false); code(err) != "28P01" {
			t.Errorf("with another password: %v", err)
		}
		for range 2 { // the second time the password is known
			c, err := login(url, "secret", "require", false)
			if err != nil {
				t.Fatal(err)
			}
			const where = "SELECT current_setting('data_directory') || ' ' || current_user"
			if v := ask(t, c, where); v != b.Info().Dir+" by_scram" {
				t.Errorf("a read runs in %s", v)
			}
			tx, err := c.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var v string
			if err := tx.QueryRow(t.Context(), where).Scan(&v); err != nil || v != a.Info().Dir+" by_scram" {
				t.Errorf("a transaction runs in %s: %v", v, err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("certificates", func(t *testing.T) {
		for required, want := range map[bool]string{true: "28000", false: "in"} {
			url := front(func(c *conf.Config) {
				c.General.TLSClientCACertificate = cert
				c.Users = []conf.User{{Name: "by_scram", Database: "db", Password: "secret", TLSClientCertificateRequired: &required}}
			})
			for _, mode := range []string{"require", "disable"} {
				got := "in"
				if _, err := login(url, "secret", mode, false); err != nil {
					got = code(err)
				}
				if got != want {
					t.Errorf("without a certificate, required %t, sslmode=%s: %s", required, mode, got)
				}
			}
			if _, err := login(url, "secret", "require", true); err != nil {
				t.Errorf("with a certificate: %v", err)
			}
			if _, err := login(url, "wrong", "require", true); code(err) != "28P01" {
				t.Errorf("with a certificate and another password: %v", err)
			}
		}
	})

	t.Run("certificates of users without an entry", func(t *testing.T) {
		for how, change := range map[string]func(c *conf.Config){
			"passthrough": func(c *conf.Config) { c.General.PassthroughAuth = conf.PassthroughEnabledPlain },
			"auth_query": func(c *conf.Config) {
				c.PgBouncer.AuthUser = "postgres"
				c.Users = []conf.User{{Name: "postgres", Database: "db", Password: "x"}}
			},
			"nothing": func(*conf.Config) {},
		} {
			url := front(func(c *conf.Config) {
				c.General.TLSClientCACertificate = cert
				change(c)
			})
			for _, mode := range []string{"require", "disable"} {
				if _, err := login(url, "secret", mode, false); code(err) != "28000" {
					t.Errorf("%s: without a certificate, sslmode=%s: %v", how, mode, err)
				}
			}
			if _, err := login(url, "secret", "require", true); (err == nil) == (how == "nothing") {
				t.Errorf("%s: with a certificate: %v", how, err)
			}
			console := strings.ReplaceAll(url, "/db?", "/admin?")
			if _, err := login(console, "secret", "require", false); code(err) != "28000" {
				t.Errorf("%s: the console without a certificate: %v", how, err)
			}
			if _, err := login(console, "secret", "require", true); code(err) != "28P01" {
				t.Errorf("%s: the console with one: %v", how, err)
			}
		}
	})
}
