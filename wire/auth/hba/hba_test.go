package hba

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// world is an Env in which joe is a member of staff, and this machine is 10.1.2.3/8.
func world() Env {
	return Env{
		HasRole:    func(user, role string) bool { return user == role || user == "joe" && role == "staff" },
		Interfaces: func() ([]netip.Prefix, error) { return []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}, nil },
		Resolver:   names{"192.0.2.7": "db.example.com.", "192.0.2.8": "db.example.com."},
	}
}

// names is a reverse zone. The name resolves to 192.0.2.7 only: 192.0.2.8 lies.
type names map[string]string

func (n names) LookupAddr(_ context.Context, addr string) ([]string, error) {
	if name, ok := n[addr]; ok {
		return []string{name}, nil
	}
	return nil, errors.New("no such host")
}

func (n names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
}

func TestMatch(t *testing.T) {
	tcp := func(addr string) Conn {
		return Conn{Addr: netip.MustParseAddr(addr), User: "joe", Database: "shop"}
	}
	with := func(c Conn, f func(*Conn)) Conn { f(&c); return c }
	loop := tcp("127.0.0.1")
	tests := []struct {
		rule string
		conn Conn
		want bool
	}{
		{"local all all trust", Conn{Local: true, User: "joe", Database: "shop"}, true},
		{"local all all trust", loop, false},
		{"host all all all trust", Conn{Local: true, User: "joe", Database: "shop"}, false},
		{"host all all 127.0.0.1/32 trust", loop, true},
		{"host all all 127.0.0.1/32 trust", tcp("127.0.0.2"), false},
		{"host all all 127.0.0.1/32 trust", tcp("::ffff:127.0.0.1"), true},
		{"host all all 127.0.0.99/8 trust", loop, true},
		{"host all all 127.0.0.0 255.0.0.0 trust", loop, true},
		{"host all all ::1/128 trust", tcp("::1"), true},
		{"host all all ::/0 trust", loop, false},
		{"host all all fe80::/10 trust", tcp("fe80::1%eth0"), true},
		{"host all all samehost trust", tcp("10.1.2.3"), true},
		{"host all all samehost trust", tcp("10.1.2.4"), false},
		{"host all all samenet trust", tcp("10.200.0.1"), true},
		{"host all all samenet trust", tcp("11.0.0.1"), false},
		{"host all all db.example.com trust", tcp("192.0.2.7"), true},
		{"host all all DB.example.com trust", tcp("192.0.2.7"), true},
		{"host all all .example.com trust", tcp("192.0.2.7"), true},
		{"host all all example.com trust", tcp("192.0.2.7"), false},
		{"host all all db.example.com trust", tcp("192.0.2.8"), false},
		{"host all all db.example.com trust", loop, false},
		{"hostssl all all all trust", loop, false},
		{"hostssl all all all trust", with(loop, func(c *Conn) { c.TLS = true }), true},
		{"hostnossl all all all trust", with(loop, func(c *Conn) { c.TLS = true }), false},
		{"hostnossl all all all trust", loop, true},
		{"hostgssenc all all all trust", loop, false},
		{"hostnogssenc all all all trust", loop, true},
		{"host shop all all trust", loop, true},
		{"host Shop all all trust", loop, false},
		{"host shop,other all all trust", loop, true},
		{"host other , shop all all trust", loop, true},
		{"host sameuser all all trust", loop, false},
		{"host sameuser all all trust", with(loop, func(c *Conn) { c.Database = "joe" }), true},
		{"host samerole all all trust", with(loop, func(c *Conn) { c.Database = "staff" }), true},
		{"host samegroup all all trust", loop, false},
		{`host "sameuser" all all trust`, with(loop, func(c *Conn) { c.Database = "sameuser" }), true},
		{`host "all" all all trust`, loop, false},
		{"host replication all all trust", loop, false},
		{"host replication all all trust", with(loop, func(c *Conn) { c.Replication = true }), true},
		{"host all all all trust", with(loop, func(c *Conn) { c.Replication = true }), false},
		{"host replication all all trust", with(loop, func(c *Conn) { c.Database = "replication" }), false},
		{`host "replication" all all trust`, with(loop, func(c *Conn) { c.Database = "replication" }), true},
		{`host /^sh.p$ all all trust`, loop, true},
		{`host "/^sh.p$" all all trust`, loop, false},
		{`host /^x all all trust`, loop, false},
		{"host all joe all trust", loop, true},
		{"host all +staff all trust", loop, true},
		{"host all +joe all trust", loop, true},
		{"host all +nobody all trust", loop, false},
		{`host all "+staff" all trust`, loop, false},
		{"host all /^j all trust", loop, true},
		{"host all jane,/e$ all trust", loop, true},
		{`host all "j""oe" all trust`, with(loop, func(c *Conn) { c.User = `j"oe` }), true},
		{"host all \\\n all \\\n all trust", loop, true},
		{"host all all all trust # a comment", loop, true},
		{"# host all all all trust", loop, false},
	}
	for _, tt := range tests {
		rules, err := ParseString(tt.rule)
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
			continue
		}
		if got := rules.Match(t.Context(), tt.conn, world()) != nil; got != tt.want {
			t.Errorf("%s\n%+v: got %v", tt.rule, tt.conn, got)
		}
	}
}

// Without knowledge of the world a rule that needs it does not match.
func TestMatchWithoutEnv(t *testing.T) {
	rules, err := ParseString("host all +joe all trust\nhost samerole all all trust\nhost all all samenet trust\nhost all all db.example.com trust")
	if err != nil {
		t.Fatal(err)
	}
	if r := rules.Match(t.Context(), Conn{Addr: netip.MustParseAddr("192.0.2.7"), User: "joe", Database: "joe"}, Env{}); r != nil {
		t.Errorf("%v matches", r)
	}
}

func TestFirstRuleWins(t *testing.T) {
	rules, err := ParseString("host all joe all reject\nhost all all all scram-sha-256\n")
	if err != nil {
		t.Fatal(err)
	}
	c := Conn{Addr: netip.MustParseAddr("::1"), User: "joe", Database: "d"}
	if r := rules.Match(t.Context(), c, Env{}); r.Method != Reject || r.Line != 1 {
		t.Errorf("got %v", r)
	}
	c.User = "jane"
	if r := rules.Match(t.Context(), c, Env{}); r.Method != SCRAM || r.Line != 2 || r.String() != "pg_hba.conf:2: host scram-sha-256" {
		t.Errorf("got %v", r)
	}
}

func TestOptions(t *testing.T) {
	rules, err := ParseString(`hostssl all all all cert map=m clientname=DN
hostssl all all all scram-sha-256 clientcert=verify-ca
hostssl all all all trust clientcert=verify-full clientname=CN
host all all all oauth issuer="https://id example" scope="a b" delegate_ident_mapping=1 validator=v
local all all peer map=os
local all all ident
`)
	if err != nil {
		t.Fatal(err)
	}
	all := rules.All()
	if r := all[0]; r.Method != Cert || r.Map != "m" || r.ClientName != auth.CertDN || r.ClientCert != CertVerifyFull {
		t.Errorf("%+v", r)
	}
	if r := all[1]; r.ClientCert != CertVerifyCA {
		t.Errorf("%+v", r)
	}
	if r := all[2]; r.ClientCert != CertVerifyFull {
		t.Errorf("%+v", r)
	}
	if r := all[3]; r.Issuer != "https://id example" || r.Scope != "a b" || !r.DelegateMapping || r.Validator != "v" {
		t.Errorf("%+v", r)
	}
	if all[4].Map != "os" || all[5].Method != Peer {
		t.Errorf("%+v %+v", all[4], all[5])
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"\n\nfoo all all trust", `pg_hba.conf:3: invalid connection type "foo"`},
		{"host", ":1: end of line before database"},
		{"host all", "end of line before role"},
		{"host all all", "end of line before IP address"},
		{"host all all 1.2.3.4/8", "end of line before authentication method"},
		{"host all all 1.2.3.4 trust", `invalid IP mask "trust"; write the address as 1.2.3.4/32`},
		{"host all all 1.2.3.4/33 trust", "invalid CIDR mask"},
		{"host all all 1.2.3.4/x trust", "invalid CIDR mask"},
		{"host all all 1.2.3.4 ffff:: trust", "IP address and mask do not match"},
		{"host all all 1.2.3.4 255.0.255.0 trust", "its ones are not all in front"},
		{"host all all 1.2.3 trust", "invalid IP address"},
		{"host all all 1.2.3.4,5.6.7.8 trust", "multiple values in IP address"},
		{"host all all host/8 trust", "specifying both host name and CIDR mask"},
		{"local,host all all trust", "multiple values in connection type"},
		{"local all all pam", `"pam" is not supported by this server; use trust`},
		{"local all all ldap ldapserver=x", `requires one of the arguments "ldapbasedn", "ldapprefix" and "ldapsuffix"`},
		{"local all all ldap ldapprefix=x", `requires argument "ldapserver"`},
		{"local all all ldap ldapserver=x ldapprefix=a ldapbasedn=b", "cannot mix options"},
		{"local all all ldap ldapurl=ldap://h/dc=x ldapsuffix=b", "cannot mix options"},
		{"local all all ldap ldapserver=x ldapbasedn=b ldapsearchattribute=u ldapsearchfilter=(u=$username)", "together with ldapsearchfilter"},
		{"local all all ldap ldapserver=x ldapprefix=a ldapport=0", `invalid LDAP port number: "0"`},
		{"local all all ldap ldapserver=x ldapprefix=a ldapport=70000", "invalid LDAP port number"},
		{"local all all ldap ldapserver=x ldapprefix=a ldaptls=yes", "ldaptls"},
		{"local all all ldap ldapserver=x ldapprefix=a ldapscheme=ldapi", "ldapscheme"},
		{"local all all ldap ldapserver=x ldapprefix=a ldaptls=1 ldapscheme=ldaps", "ldaptls is for scheme ldap"},
		{"local all all ldap ldapurl=http://h/dc=x", "ldap:// or ldaps://"},
		{"local all all ldap ldapurl=ldap://h/dc=x?uid?all", `invalid scope "all"`},
		{"local all all ldap ldapurl=ldap://h/dc=x?uid?sub?(a=b)?ext", "extensions"},
		{"local all all ldap ldapurl=ldap:///dc=x", `requires argument "ldapserver"`},
		{"local all all ldap ldapurl=ldap://h:x/dc=x", "invalid port"},
		{"local all all ldap ldapfoo=1", `unrecognized authentication option name: "ldapfoo"`},
		{"local all all trust ldapserver=x", `"ldapserver" is only valid for methods`},
		{"host all all all ident", `"ident" is not supported`},
		{"local all all magic", `invalid authentication method "magic"`},
		{"host all all all peer", "only supported on local sockets"},
		{"host all all all cert", "only supported on hostssl"},
		{"local all all trust map=x", `"map" is only valid for methods`},
		{"local all all trust novalue", "not in name=value format"},
		{"local all all trust what=x", `unrecognized authentication option name: "what"`},
		{"host all all all trust clientcert=verify-ca", `only be configured for "hostssl"`},
		{"hostssl all all all trust clientcert=1", "invalid value for clientcert"},
		{"hostssl all all all cert clientcert=verify-ca", `only accepts "verify-full"`},
		{"hostssl all all all trust clientname=X", "invalid value for clientname"},
		{"host all all all oauth", "needs the options issuer and scope"},
		{"host all all all oauth issuer=a scope=b map=m delegate_ident_mapping=1", "exclude each other"},
		{`local all "joe trust`, "a quote is not closed"},
		{"local /( all trust", "invalid regular expression"},
		{"local all @names trust", "there are no other files here"},
		{"include other.conf", "there are no other files here"},
		{"include a b", "include takes one name"},
		{"local all all trust\x00", "zero byte"},
	}
	for _, tt := range tests {
		_, err := ParseString(tt.text)
		var pe *ParseError
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.As(err, &pe) {
			t.Errorf("%q: %v", tt.text, err)
		}
	}
	_, err := ParseString("foo\nlocal all all trust\nbar\n")
	if err == nil || !strings.Contains(err.Error(), ":1:") || !strings.Contains(err.Error(), ":3:") {
		t.Errorf("not all mistakes are told: %v", err)
	}
}

func TestIncludes(t *testing.T) {
	fsys := fstest.MapFS{
		"etc/pg_hba.conf":  {Data: []byte("include sub/one.conf\ninclude_if_exists none.conf\ninclude_dir dir\nlocal @dbs @sub/roles trust\n")},
		"etc/sub/one.conf": {Data: []byte("local one @roles trust\n")},
		"etc/sub/roles":    {Data: []byte("a, b\n# nobody\n\"c d\"\n@more\n")},
		"etc/sub/more":     {Data: []byte("e")},
		"etc/dbs":          {Data: []byte("x\ny")},
		"etc/dir/2.conf":   {Data: []byte("local two all trust")},
		"etc/dir/1.conf":   {Data: []byte("local three all trust")},
		"etc/dir/skip":     {Data: []byte("nonsense")},
		"etc/loop.conf":    {Data: []byte("include loop.conf")},
		"etc/bad.conf":     {Data: []byte("\ninclude nowhere.conf")},
	}
	rules, err := Parse(fsys, "etc/pg_hba.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		db, user, want string
	}{
		{"one", "c d", "etc/sub/one.conf:1: local trust"},
		{"one", "e", "etc/sub/one.conf:1: local trust"},
		{"three", "z", "etc/dir/1.conf:1: local trust"},
		{"two", "z", "etc/dir/2.conf:1: local trust"},
		{"y", "b", "etc/pg_hba.conf:4: local trust"},
		{"y", "z", ""},
	} {
		r := rules.Match(t.Context(), Conn{Local: true, Database: tt.db, User: tt.user}, Env{})
		if r == nil && tt.want != "" || r != nil && r.String() != tt.want {
			t.Errorf("%s, %s: %v", tt.db, tt.user, r)
		}
	}
	if _, err := Parse(fsys, "etc/loop.conf"); err == nil || !strings.Contains(err.Error(), "more than 10 levels deep") {
		t.Errorf("loop: %v", err)
	}
	if _, err := Parse(fsys, "etc/bad.conf"); err == nil || !strings.Contains(err.Error(), "etc/bad.conf:2:") {
		t.Errorf("missing: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"hba": "local all @who trust\n", "who": "joe\n", "ident": "m /^(.*)@x$ \\1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rules, err := Load(filepath.Join(dir, "hba"))
	if err != nil || rules.Match(t.Context(), Conn{Local: true, User: "joe"}, Env{}) == nil {
		t.Errorf("%v", err)
	}
	ident, err := LoadIdent(filepath.Join(dir, "ident"))
	if err != nil || ident.Check("m", "joe@x", "joe", Env{}) != nil {
		t.Errorf("%v", err)
	}
	if _, err := Load(filepath.Join(dir, "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestIdent(t *testing.T) {
	maps, err := ParseIdentString(`# map system role
m  bryanh          bryanh
m  bryanh          guest1
m  /^(.*)@mydomain\.com$ \1
m  /@other\.com$   guest
m  root            all
m  staffer         +staff
m  rx              /^app_
`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		mapName, system, role string
		want                  bool
	}{
		{"", "joe", "joe", true},
		{"", "joe", "Joe", false},
		{"m", "bryanh", "guest1", true},
		{"m", "bryanh", "root", false},
		{"m", "joe@mydomain.com", "joe", true},
		{"m", "joe@mydomain.com", "jane", false},
		{"m", "all@mydomain.com", "jane", false}, // what the pattern captured is a name
		{"m", "+staff@mydomain.com", "joe", false},
		{"m", "x@other.com", "guest", true},
		{"m", "root", "anybody", true},
		{"m", "staffer", "joe", true},
		{"m", "staffer", "jane", false},
		{"m", "rx", "app_7", true},
		{"m", "rx", "xapp_", false},
		{"none", "joe", "joe", false},
	}
	for _, tt := range tests {
		err := maps.Check(tt.mapName, tt.system, tt.role, world())
		if (err == nil) != tt.want {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	var none *Ident
	if none.Check("", "a", "a", Env{}) != nil || none.Check("m", "a", "a", Env{}) == nil {
		t.Error("no maps: wrong judgement")
	}
	for text, want := range map[string]string{
		"m a": "three fields", "m a b c": "three fields", "m a,b c": "must be one word", "m /( a": "regular expression", `m /x \1`: "no subexpression",
	} {
		if _, err := ParseIdentString(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzHBA(f *testing.F) {
	f.Add("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n", "joe", "shop")
	f.Add("hostssl \"a,b\",sameuser +staff,/^x$ ::1/128 cert map=m clientname=DN # c", "x", "a,b")
	f.Add("host all all 10.0.0.0 255.0.0.0 oauth issuer=\"i\" \\\nscope=s", "", "")
	f.Add("m /^(.*)@x$ \\1\n", "joe@x", "joe")
	f.Fuzz(func(t *testing.T, text, user, db string) {
		if rules, err := ParseString(text); err == nil {
			for _, c := range []Conn{
				{Local: true, User: user, Database: db},
				{Addr: netip.MustParseAddr("::1"), TLS: true, User: user, Database: db},
				{Addr: netip.MustParseAddr("10.1.2.3"), User: user, Database: db, Replication: true},
			} {
				if r := rules.Match(t.Context(), c, world()); r != nil && c.Local != (r.Type == Local) {
					t.Fatalf("%v fits %+v", r, c)
				}
			}
		} else if !strings.Contains(err.Error(), ":") {
			t.Fatalf("an error without a place: %v", err)
		}
		if maps, err := ParseIdentString(text); err == nil {
			if maps.Check("", user, user, world()) != nil {
				t.Fatal("without a map the same name must do")
			}
			_ = maps.Check("m", user, db, world())
		}
	})
}
