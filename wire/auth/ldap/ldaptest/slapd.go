// Package ldaptest runs a real directory server for tests: OpenLDAP's slapd.
package ldaptest

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

// Base is what the directory holds, and Admin, with the password Secret, who may do everything.
const (
	Base   = "dc=example,dc=org"
	Admin  = "cn=admin," + Base
	Secret = "admin secret"
)

// A Server is a slapd that ends with its test. Everybody may search it, but for ou=closed, which
// cn=reader may; nobody reads passwords.
type Server struct {
	Plain, TLS string         // the addresses for ldap and ldaps
	Roots      *x509.CertPool // that its certificate, for 127.0.0.1 and not for localhost, is to be checked by

	t testing.TB
}

// Start starts a server without any people. Where there is no slapd the test is skipped, or fails
// under CI.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := exec.LookPath("slapd")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/slapd") // not on everybody's PATH
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("slapd is not installed, and under CI nothing is skipped")
		}
		t.Skip("slapd is not installed")
	}
	root := strings.TrimSuffix(program, "/usr/sbin/slapd") // Debian's, installed or unpacked
	dir := t.TempDir()
	s := &Server{t: t, Roots: x509.NewCertPool()}
	conf := s.config(root, dir)
	for range 5 { // a port may be taken before slapd has it
		s.Plain, s.TLS = free(t), free(t)
		if s.run(program, conf) {
			s.Add(Base, map[string][]string{"objectClass": {"dcObject", "organization"}, "dc": {"example"}, "o": {"example"}})
			return s
		}
	}
	t.Fatal("slapd does not start")
	return nil
}

// config writes slapd.conf, and what it names, and returns its path.
func (s *Server) config(root, dir string) string {
	s.t.Helper()
	cert, err := wiretest.Certificate("directory")
	if err != nil {
		s.t.Fatal(err)
	}
	s.Roots.AddCert(cert.Leaf)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		s.t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	files := map[string]string{
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"slapd.conf": fmt.Sprintf(`include %[1]s/etc/ldap/schema/core.schema
include %[1]s/etc/ldap/schema/cosine.schema
include %[1]s/etc/ldap/schema/inetorgperson.schema
modulepath %[1]s/usr/lib/ldap
moduleload back_mdb
TLSCertificateFile %[2]s
TLSCertificateKeyFile %[3]s
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=closed,%[4]s" by dn.exact="cn=reader,%[4]s" read by anonymous auth by * none
access to * by * read
database mdb
suffix "%[4]s"
rootdn "%[5]s"
rootpw "%[6]s"
directory %[7]s
`, root, path("cert.pem"), path("key.pem"), Base, Admin, Secret, path("db")),
	}
	if err := os.Mkdir(path("db"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return path("slapd.conf")
}

// run starts slapd, and reports whether it came up.
func (s *Server) run(program, conf string) bool {
	s.t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, "-d", "0", "-f", conf, "-h", "ldap://"+s.Plain+" ldaps://"+s.TLS)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		select {
		case <-ended:
			s.t.Logf("slapd: %s", &said)
			return false
		case <-time.After(10 * time.Millisecond):
		}
		if c, err := ldap.DialURL("ldap://" + s.Plain); err == nil {
			_ = c.Close()
			return true
		}
	}
	return false
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Add adds an entry.
func (s *Server) Add(dn string, attributes map[string][]string) {
	s.t.Helper()
	c, err := ldap.DialURL("ldap://" + s.Plain)
	if err == nil {
		defer func() { _ = c.Close() }()
		err = c.Bind(Admin, Secret)
	}
	if err == nil {
		add := ldap.NewAddRequest(dn, nil)
		for name, values := range attributes {
			add.Attribute(name, values)
		}
		err = c.Add(add)
	}
	if err != nil {
		s.t.Fatalf("add %s: %v", dn, err)
	}
}

// Person adds someone with a password, below the entry parent, and returns the name.
func (s *Server) Person(uid, password, parent string) (dn string) {
	s.t.Helper()
	dn = "uid=" + uid + "," + parent
	s.Add(dn, map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {uid}, "cn": {uid}, "sn": {uid}, "mail": {uid + "@example.org"}, "userPassword": {password},
	})
	return dn
}

// Unit adds an organizational unit, and returns its name.
func (s *Server) Unit(name string) (dn string) {
	s.t.Helper()
	dn = "ou=" + name + "," + Base
	s.Add(dn, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {name}})
	return dn
}
