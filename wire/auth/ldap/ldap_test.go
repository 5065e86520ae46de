package ldap_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
	"github.com/pgx-dev/pgx-dev/wire/auth/ldap"
	"github.com/pgx-dev/pgx-dev/wire/auth/ldap/ldaptest"
)

// rule reads the options of a line of pg_hba.conf.
func rule(t *testing.T, options string) *hba.LDAP {
	t.Helper()
	rules, err := hba.ParseString("local all all ldap " + options + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return rules.All()[0].LDAP
}

// TestVerify asks a real directory about people by all ways that rules have.
func TestVerify(t *testing.T) {
	srv := ldaptest.Start(t)
	people, closed := srv.Unit("people"), srv.Unit("closed")
	ann := srv.Person("ann", "ann secret", people)
	srv.Person("twin", "one", people)
	srv.Person("twin", "two", srv.Unit("others"))
	srv.Person("hidden", "hidden secret", closed)
	srv.Add("cn=reader,"+ldaptest.Base, map[string][]string{
		"objectClass": {"person"}, "cn": {"reader"}, "sn": {"reader"}, "userPassword": {"reader secret"},
	})
	host, port, _ := net.SplitHostPort(srv.Plain)
	at := "ldapserver=" + host + " ldapport=" + port + " "
	simple := at + `ldapprefix="uid=" ldapsuffix=",` + people + `"`
	search := at + `ldapbasedn="` + ldaptest.Base + `"`
	byReader := search + ` ldapbinddn="cn=reader,` + ldaptest.Base + `" ldapbindpasswd=`
	const refused, failed = "refused", "failed"
	tests := []struct{ name, options, user, password, want string }{
		{"simple bind", simple, "ann", "ann secret", ann},
		{"simple bind, wrong", simple, "ann", "ann Secret", refused},
		{"simple bind, nobody", simple, "bob", "ann secret", refused},
		{"simple bind, no password", simple, "ann", "", refused},
		{"simple bind, no name at all", at + "ldapprefix=uid", "ann", "x", refused},
		{"search", search, "ann", "ann secret", ann},
		{"search, wrong", search, "ann", "x", refused},
		{"search, no password", search, "ann", "", refused},
		{"search, nobody", search, "bob", "x", refused},
		{"search, two of them", search, "twin", "one", refused},
		{"search, wildcard", search, "a*", "ann secret", refused},
		{"search, parentheses", search, "ann)(uid=ann", "ann secret", refused},
		{"search by mail", search + " ldapsearchattribute=mail", "ann@example.org", "ann secret", ann},
		{"search by a filter", search + ` ldapsearchfilter="(&(objectClass=person)(|(uid=$username)(mail=$username)))"`, "ann@example.org", "ann secret", ann},
		{"search by a filter that is none", search + ` ldapsearchfilter="(uid=$username"`, "ann", "ann secret", failed},
		{"hidden from anybody", search, "hidden", "hidden secret", refused},
		{"search by somebody", byReader + `"reader secret"`, "hidden", "hidden secret", "uid=hidden," + closed},
		{"search by somebody with a wrong password", byReader + "x", "hidden", "hidden secret", failed},
		{"base that there is not", at + `ldapbasedn="dc=example,dc=com"`, "ann", "ann secret", failed},
		{"URL, one level", `ldapurl="ldap://` + srv.Plain + "/" + people + `?uid?one"`, "ann", "ann secret", ann},
		{"URL, one level too high", `ldapurl="ldap://` + srv.Plain + "/" + ldaptest.Base + `?uid?one"`, "ann", "ann secret", refused},
		{"URL, the entry itself", `ldapurl="ldap://` + srv.Plain + "/" + ann + `"`, "ann", "ann secret", ann},
		{"URL, filter", `ldapurl="ldap://` + srv.Plain + "/" + ldaptest.Base + `??sub?(mail=$username@example.org)"`, "ann", "ann secret", ann},
		{"the first server is down", `ldapserver="127.0.0.1:1 ` + srv.Plain + `" ldapbasedn="` + ldaptest.Base + `"`, "ann", "ann secret", ann},
		{"all servers are down", `ldapserver="127.0.0.1:1 127.0.0.1:2" ldapbasedn="` + ldaptest.Base + `"`, "ann", "ann secret", failed},
		{"STARTTLS", search + " ldaptls=1", "ann", "ann secret", ann},
		{"STARTTLS, another host's certificate", strings.ReplaceAll(search, host, "localhost") + " ldaptls=1", "ann", "ann secret", failed},
		{"ldaps", `ldapurl="ldaps://` + srv.TLS + "/" + ldaptest.Base + `?uid?sub"`, "ann", "ann secret", ann},
		{"ldaps to a port without", `ldapurl="ldaps://` + srv.Plain + "/" + ldaptest.Base + `?uid?sub"`, "ann", "ann secret", failed},
	}
	v := &ldap.Verifier{TLS: &tls.Config{RootCAs: srv.Roots, MinVersion: tls.VersionTLS12}, Timeout: 2 * time.Minute}
	for _, tt := range tests {
		dn, err := v.Verify(t.Context(), rule(t, tt.options), tt.user, tt.password)
		got := dn
		switch {
		case errors.Is(err, ldap.ErrRefused):
			got = refused
		case err != nil:
			got = failed
		}
		if got != tt.want || err != nil && dn != "" {
			t.Errorf("%s: %q, %q (%v), want %q", tt.name, got, dn, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a password: %v", tt.name, err)
		}
	}
	if dn, err := new(ldap.Verifier).Verify(t.Context(), rule(t, `ldapurl="ldaps://`+srv.TLS+"/"+ldaptest.Base+`?uid?sub"`), "ann", "ann secret"); err == nil {
		t.Errorf("an authority that nobody trusts: %s", dn)
	}
}

// TestVerifySilent has directories that accept connections and say nothing: the wait has an end.
func TestVerifySilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, options := range []string{
		"ldapprefix=uid=", "ldapbasedn=dc=x", "ldapbasedn=dc=x ldaptls=1", "ldapbasedn=dc=x ldapscheme=ldaps",
	} {
		r := rule(t, "ldapserver="+l.Addr().String()+" "+options)
		_, err := (&ldap.Verifier{Timeout: 50 * time.Millisecond}).Verify(t.Context(), r, "ann", "x")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ldap.ErrRefused) {
			t.Errorf("%s: %v", options, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := new(ldap.Verifier).Verify(ctx, r, "ann", "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", options, err)
		}
	}
}

// TestVerifyNext has a directory that accepts connections and says nothing before one that answers.
func TestVerifyNext(t *testing.T) {
	dir := ldaptest.Start(t)
	ann := dir.Person("ann", "ann secret", dir.Unit("people"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var asked sync.WaitGroup
	defer asked.Wait()
	for options, password := range map[string]string{"": "ann secret", " ldaptls=1": "another"} {
		r := rule(t, `ldapserver="`+l.Addr().String()+" "+dir.Plain+`" ldapbasedn="`+ldaptest.Base+`"`+options)
		asked.Go(func() { // it takes half the time-out
			v := &ldap.Verifier{TLS: &tls.Config{RootCAs: dir.Roots, MinVersion: tls.VersionTLS12}, Timeout: 10 * time.Second}
			switch dn, err := v.Verify(t.Context(), r, "ann", password); {
			case password == "another" && !errors.Is(err, ldap.ErrRefused):
				t.Errorf("the next directory refuses: %q, %v", dn, err)
			case password != "another" && (err != nil || dn != ann):
				t.Errorf("the next directory answers: %q, %v", dn, err)
			}
		})
	}
}
