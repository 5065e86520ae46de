package hba

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// A Scope is how much of a directory a search looks at.
type Scope uint8

// The scopes of RFC 4516.
const (
	ScopeBase Scope = iota
	ScopeOne
	ScopeSub
)

// LDAP is what the options of a rule with method ldap say (parse_hba_auth_opt in
// src/backend/libpq/hba.c). Users are either bound by a name that is put together, which is
// Prefix, the user, Suffix; or, with BaseDN, searched for first.
type LDAP struct {
	Scheme   string   // ldap or ldaps
	Servers  []string // host:port, tried in this order
	StartTLS bool     // ldaptls: encrypt a connection that began without

	Prefix, Suffix string

	BaseDN               string
	BindDN, BindPassword string // who searches; nobody in particular where empty
	Attribute            string // that has to be the user: ldapsearchattribute, "uid" by default
	Filter               string // ldapsearchfilter, in which $username is the user; "" for Attribute
	Scope                Scope
}

// Searches reports whether a user is searched for before it is bound.
func (l *LDAP) Searches() bool { return l.BaseDN != "" }

// ldapOptions are the options as they come; finish makes an LDAP of them.
type ldapOptions struct {
	LDAP

	hosts []string
	port  int
	url   bool
}

// option takes an option whose name begins with ldap; false is one that there is not.
func (o *ldapOptions) option(l line, name, value string) (bool, error) {
	switch name {
	case "ldapserver":
		o.hosts = strings.Fields(value)
	case "ldapport":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n == 0 {
			return true, l.errorf("invalid LDAP port number: %q", value)
		}
		o.port = int(n)
	case "ldapscheme":
		if value != "ldap" && value != "ldaps" {
			return true, l.errorf("invalid value for ldapscheme: %q; it is ldap or ldaps", value)
		}
		o.Scheme = value
	case "ldaptls":
		if value != "0" && value != "1" {
			return true, l.errorf("invalid value for ldaptls: %q; it is 0 or 1", value)
		}
		o.StartTLS = value == "1"
	case "ldapprefix":
		o.Prefix = value
	case "ldapsuffix":
		o.Suffix = value
	case "ldapbasedn":
		o.BaseDN = value
	case "ldapbinddn":
		o.BindDN = value
	case "ldapbindpasswd":
		o.BindPassword = value
	case "ldapsearchattribute":
		o.Attribute = value
	case "ldapsearchfilter":
		o.Filter = value
	case "ldapurl":
		return true, o.parseURL(l, value)
	default:
		return false, nil
	}
	return true, nil
}

// parseURL reads ldap[s]://host[:port]/basedn[?attribute[?scope[?filter]]] (RFC 4516).
func (o *ldapOptions) parseURL(l line, text string) error {
	bad := func(why string) error { return l.errorf("could not parse LDAP URL %q: %s", text, why) }
	scheme, rest, ok := strings.Cut(text, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "ldap" && scheme != "ldaps" {
		return bad("it begins with ldap:// or ldaps://")
	}
	o.url, o.Scheme, o.Scope = true, scheme, ScopeBase
	host, rest, _ := strings.Cut(rest, "/")
	if h, port, err := net.SplitHostPort(host); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return bad("invalid port number " + strconv.Quote(port))
		}
		host, o.port = h, int(n)
	}
	if host = strings.Trim(host, "[]"); host != "" {
		o.hosts = []string{host}
	}
	parts := strings.Split(rest, "?")
	if len(parts) > 4 {
		return bad("URLs with extensions are not supported")
	}
	for i, p := range parts {
		p, err := url.PathUnescape(p)
		if err != nil {
			return bad(err.Error())
		}
		switch i {
		case 0:
			o.BaseDN = p
		case 1:
			o.Attribute, _, _ = strings.Cut(p, ",") // PostgreSQL, too, uses the first one
		case 2:
			switch strings.ToLower(p) {
			case "", "base":
			case "one":
				o.Scope = ScopeOne
			case "sub":
				o.Scope = ScopeSub
			default:
				return bad("invalid scope " + strconv.Quote(p) + "; it is base, one or sub")
			}
		case 3:
			o.Filter = p
		}
	}
	return nil
}

// finish checks the options against each other.
func (o *ldapOptions) finish(l line) (*LDAP, error) {
	simple := o.Prefix != "" || o.Suffix != ""
	search := o.BaseDN != "" || o.BindDN != "" || o.BindPassword != "" || o.Attribute != "" || o.Filter != "" || o.url
	switch {
	case simple && search:
		return nil, l.errorf("cannot mix options for simple bind (ldapprefix, ldapsuffix) and for search and bind (ldapbasedn, ldapbinddn, ldapbindpasswd, ldapsearchattribute, ldapsearchfilter, ldapurl)")
	case !simple && o.BaseDN == "":
		return nil, l.errorf("authentication method \"ldap\" requires one of the arguments \"ldapbasedn\", \"ldapprefix\" and \"ldapsuffix\"")
	case o.Attribute != "" && o.Filter != "":
		return nil, l.errorf("cannot use ldapsearchattribute together with ldapsearchfilter")
	case len(o.hosts) == 0:
		return nil, l.errorf("authentication method \"ldap\" requires argument \"ldapserver\": servers are not looked up in DNS here")
	case o.StartTLS && o.Scheme == "ldaps":
		return nil, l.errorf("ldaptls is for scheme ldap: by ldaps the connection is encrypted from its beginning")
	}
	if o.port == 0 {
		o.port = 389
		if o.Scheme == "ldaps" {
			o.port = 636
		}
	}
	if o.Attribute == "" {
		o.Attribute = "uid"
	}
	for _, h := range o.hosts {
		if _, _, err := net.SplitHostPort(h); err != nil { // libldap takes a port here, too
			h = net.JoinHostPort(strings.Trim(h, "[]"), strconv.Itoa(o.port))
		}
		o.Servers = append(o.Servers, h)
	}
	out := o.LDAP
	return &out, nil
}
