package hba

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLDAPOptions(t *testing.T) {
	tests := []struct {
		options string
		want    LDAP
	}{
		{
			`ldapserver="a b:1389 [::1]" ldapport=3389 ldapprefix="cn=" ldapsuffix=", dc=example, dc=net"`,
			LDAP{Scheme: "ldap", Servers: []string{"a:3389", "b:1389", "[::1]:3389"}, Prefix: "cn=", Suffix: ", dc=example, dc=net", Attribute: "uid", Scope: ScopeSub},
		},
		{
			`ldapserver=a ldapscheme=ldaps ldapbasedn="dc=example, dc=net" ldapsearchfilter="(|(uid=$username)(mail=$username))" ldapbinddn=cn=me ldapbindpasswd=x=y`,
			LDAP{
				Scheme: "ldaps", Servers: []string{"a:636"}, BaseDN: "dc=example, dc=net", Attribute: "uid", Scope: ScopeSub,
				Filter: "(|(uid=$username)(mail=$username))", BindDN: "cn=me", BindPassword: "x=y",
			},
		},
		{
			`ldapurl="ldap://ldap.example.net:1389/dc=example,dc=net??sub?(&(a=b)(c=%24username))" ldaptls=1`,
			LDAP{
				Scheme: "ldap", Servers: []string{"ldap.example.net:1389"}, BaseDN: "dc=example,dc=net", StartTLS: true, Attribute: "uid",
				Scope: ScopeSub, Filter: "(&(a=b)(c=$username))",
			},
		},
		{
			`ldapurl="LDAPS://[::1]/dc=example%2Cdc=net?uid?one"`,
			LDAP{Scheme: "ldaps", Servers: []string{"[::1]:636"}, BaseDN: "dc=example,dc=net", Attribute: "uid", Scope: ScopeOne},
		},
		{
			`ldapurl=ldap://h/dc=x`,
			LDAP{Scheme: "ldap", Servers: []string{"h:389"}, BaseDN: "dc=x", Attribute: "uid", Scope: ScopeBase},
		},
	}
	for _, tt := range tests {
		rules, err := ParseString("host all all all ldap " + tt.options + "\n")
		if err != nil {
			t.Errorf("%s: %v", tt.options, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, rules.All()[0].LDAP); diff != "" {
			t.Errorf("%s: %s", tt.options, diff)
		}
	}
}
