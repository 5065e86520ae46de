package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// certificate makes a certificate for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (certPEM, keyPEM []byte, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certPEM, keyPEM, roots
}

// TestTLS goes by TLS to the proxy and from there to the server, cancel requests too.
func TestTLS(t *testing.T) { transports(t, testTLS) }

func testTLS(t *testing.T) {
	certPEM, keyPEM, roots := certificate(t)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv := startServer(t, engines.Spec{TCP: "127.0.0.1:0", Params: map[string]string{
		"ssl": "on", "ssl_cert_file": filepath.Join(dir, "cert.pem"), "ssl_key_file": filepath.Join(dir, "key.pem"),
	}})
	hba := filepath.Join(srv.Info().Dir, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all all trust\nhostssl all all 127.0.0.1/32 trust\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	if _, err := admin.Exec(t.Context(), "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	own, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", srv.Info().TCP)
	}
	_, _, strangers := certificate(t)
	for name, test := range map[string]struct {
		tls  pool.TLS
		fail string
	}{
		"prefer":            {pool.TLS{Mode: pool.TLSPrefer}, ""},
		"require":           {pool.TLS{Mode: pool.TLSRequire}, ""},
		"verify-ca":         {pool.TLS{Mode: pool.TLSVerifyCA, Config: &tls.Config{RootCAs: roots}}, ""},
		"verify-full":       {pool.TLS{Mode: pool.TLSVerifyFull, Config: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}}, ""},
		"another authority": {pool.TLS{Mode: pool.TLSVerifyCA, Config: &tls.Config{RootCAs: strangers}}, "certificate"},
		"another name":      {pool.TLS{Mode: pool.TLSVerifyFull, Config: &tls.Config{RootCAs: roots, ServerName: "elsewhere"}}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			var p *pool.Pool
			b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, func(c *proxy.Config, db *proxy.Database) {
				p = pool.New(&pool.Backend{Name: "tls", Dial: dial, TLS: test.tls, Login: pool.Credentials{User: srv.Info().User, Database: "postgres"}}, pool.Config{Size: 1, Loops: c.Loops}, nil)
				db.Servers = proxy.One{Pool: p}
				c.TLS, c.RequireTLS = &tls.Config{Certificates: []tls.Certificate{own}}, true
			})
			defer p.Close(context.Background())
			if _, err := pgx.Connect(t.Context(), b.url("")); err == nil || !strings.Contains(err.Error(), "TLS") {
				t.Errorf("without TLS: %v", err)
			}
			cfg, err := pgx.ParseConfig(strings.Replace(b.url(""), "sslmode=disable", "sslmode=require", 1))
			if err != nil {
				t.Fatal(err)
			}
			c, err := pgx.ConnectConfig(t.Context(), cfg)
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close(context.Background()) }()
			if v := simple(t, c, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); v != "t" {
				t.Error("the server connection has no TLS")
			}
			if v := value(t, c, "SELECT repeat($1::text, 300000)", "x"); len(v) != 300000 {
				t.Errorf("%d bytes", len(v))
			}
			done := make(chan error, 1)
			go func() {
				_, err := c.PgConn().Exec(context.Background(), "SELECT pg_sleep(3600)").ReadAll()
				done <- err
			}()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				if err := c.PgConn().CancelRequest(t.Context()); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-done:
					if code(err) != "57014" {
						t.Errorf("got %v", err)
					}
					return
				case <-tick.C:
				}
			}
		})
	}
}

// TestProtocol32 logs in by protocol 3.2: the cancel key is long, and works.
func TestProtocol32(t *testing.T) { transports(t, testProtocol32) }

func testProtocol32(t *testing.T) {
	srv := startServer(t, engines.Spec{})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	out, _ := wire.Append(nil, &wire.StartupMessage{Version: wire.Version32, Params: []wire.Param{{Name: "user", Value: srv.Info().User}, {Name: "database", Value: "postgres"}}})
	if _, err := nc.Write(out); err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(30 * time.Second))
	r := wire.NewReader(nc, wire.Backend, 0)
	var key wire.BackendKeyData
	var last wire.ErrorResponse
	until := func(typ wire.Type) {
		t.Helper()
		for {
			f, err := r.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f.Type {
			case wire.TypeBackendKeyData:
				if err := key.Decode(f.Body); err != nil {
					t.Fatal(err)
				}
				key.Key = append([]byte(nil), key.Key...)
			case wire.TypeErrorResponse:
				_ = last.Decode(f.Body)
			}
			if f.Type == typ {
				return
			}
		}
	}
	until(wire.TypeReadyForQuery)
	if len(key.Key) != 32 {
		t.Errorf("a key of %d bytes", len(key.Key))
	}
	out, _ = wire.Append(nil, &wire.Query{SQL: "SELECT pg_sleep(3600)"})
	if _, err := nc.Write(out); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, k := range [][]byte{append([]byte(nil), make([]byte, 32)...), key.Key[:4], key.Key} {
				c, err := net.Dial("tcp", b.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = c.Write((&wire.CancelRequest{PID: key.PID, Key: k}).AppendTo(nil))
				_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
				_, _ = c.Read(make([]byte, 1))
				_ = c.Close()
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	})
	until(wire.TypeReadyForQuery)
	close(ended)
	wg.Wait()
	if last.Error.Code != wire.CodeQueryCanceled {
		t.Errorf("got %v", &last.Error)
	}
}

// TestReplication passes a replication connection through.
func TestReplication(t *testing.T) { transports(t, testReplication) }

func testReplication(t *testing.T) {
	srv := startServer(t, engines.Spec{Params: map[string]string{"wal_level": "logical"}})
	b := newBench(t, srv, proxy.Transaction, pool.Config{Size: 1}, nil)
	c := b.connect("replication=database")
	results, err := c.PgConn().Exec(t.Context(), "IDENTIFY_SYSTEM").ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		t.Fatalf("%v, %v", results, err)
	}
	if _, err := c.PgConn().Exec(t.Context(), "CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL pgoutput").ReadAll(); err != nil {
		t.Error(err)
	}
	other := b.connect("")
	if v := simple(t, other, "SELECT count(*) FROM pg_replication_slots"); v != "1" {
		t.Errorf("%s slots", v)
	}
	_ = c.Close(t.Context())
	eventually(t, "the slot goes with its client", func() bool { return simple(t, other, "SELECT count(*) FROM pg_replication_slots") == "0" })
}
