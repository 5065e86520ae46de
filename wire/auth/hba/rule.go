package hba

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// A ConnType is a rule's first word.
type ConnType string

// The connection types of a rule.
const (
	Local     ConnType = "local"        // a Unix socket
	Host      ConnType = "host"         // TCP, encrypted or not
	HostSSL   ConnType = "hostssl"      // TCP with TLS
	HostNoSSL ConnType = "hostnossl"    // TCP without TLS
	HostGSS   ConnType = "hostgssenc"   // TCP with GSSAPI encryption: never matches here
	HostNoGSS ConnType = "hostnogssenc" // TCP without GSSAPI encryption: the same as host here
)

// A Method is how a connection that matches a rule authenticates.
type Method string

// The methods that can be carried out here. PostgreSQL's others (ident over TCP, gss, sspi,
// radius, pam, bsd) are an error when a file is read.
const (
	Trust    Method = "trust"
	Reject   Method = "reject"
	Password Method = "password"      // cleartext
	MD5      Method = "md5"           // SCRAM for a role whose secret is a SCRAM verifier
	SCRAM    Method = "scram-sha-256" // with channel binding where there is TLS
	Peer     Method = "peer"          // the operating system's user, on a Unix socket
	Cert     Method = "cert"          // the client's certificate
	OAuth    Method = "oauth"
	ByLDAP   Method = "ldap" // a password that a directory takes
)

var unsupported = []string{"gss", "sspi", "ident", "radius", "pam", "bsd"}

// ClientCert says whether a rule also wants a client certificate.
type ClientCert uint8

// The values of the option clientcert.
const (
	CertNone       ClientCert = iota
	CertVerifyCA              // a valid certificate
	CertVerifyFull            // and its name is the user's, or mapped to it
)

// A Rule is one line of pg_hba.conf.
type Rule struct {
	File   string
	Line   int
	Type   ConnType
	Method Method

	Map        string // the ident map: system user to role
	ClientCert ClientCert
	ClientName auth.CertField

	Issuer, Scope, Validator string // oauth
	DelegateMapping          bool   // oauth: the validator alone decides about the role

	LDAP *LDAP // ldap; nil for other methods

	databases, users field
	addresses        addressSpec
	ldap             *ldapOptions
}

// String names the rule by its place.
func (r *Rule) String() string { return fmt.Sprintf("%s:%d: %s %s", r.File, r.Line, r.Type, r.Method) }

// Rules are the rules of a file in order. They do not change after Parse and may be used by
// several goroutines at once.
type Rules struct {
	rules    []Rule
	Warnings []string // rules that can never match
}

// All returns the rules in order.
func (r *Rules) All() []Rule { return slices.Clone(r.rules) }

// ParseString reads rules from text that includes no other files.
func ParseString(text string) (*Rules, error) {
	r := &reader{}
	return r.rules(r.lines("pg_hba.conf", text, 0))
}

// Parse reads the rules of a file. Names in include directives and after @ are relative to
// their file, or to the root of fsys when they are absolute. The error joins one *ParseError
// for each mistake.
func Parse(fsys fs.FS, name string) (*Rules, error) {
	r := &reader{fsys: fsys}
	return r.rules(r.read(name, nil, 0))
}

// Load reads the rules of a file of the operating system.
func Load(path string) (*Rules, error) {
	fsys, name, err := rooted(path)
	if err != nil {
		return nil, err
	}
	l := &reader{fsys: fsys, root: "/"}
	return l.rules(l.read(name, nil, 0))
}

func rooted(path string) (fs.FS, string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	volume := filepath.VolumeName(abs)
	name := strings.TrimPrefix(filepath.ToSlash(abs[len(volume):]), "/")
	return os.DirFS(volume + "/"), name, nil
}

func (r *reader) rules(lines []line) (*Rules, error) {
	out := &Rules{}
	for _, l := range lines {
		rule, err := parseRule(l)
		if err != nil {
			r.errs = append(r.errs, err)
			continue
		}
		if rule.Type == HostGSS {
			out.Warnings = append(out.Warnings, rule.String()+": there is no GSSAPI encryption here, the rule never matches")
		}
		out.rules = append(out.rules, rule)
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return out, nil
}

func parseRule(l line) (Rule, error) {
	rule := Rule{File: l.file, Line: l.number}
	rest := l.fields
	next := func(what string) (field, error) {
		if len(rest) == 0 {
			return nil, l.errorf("end of line before %s", what)
		}
		f := rest[0]
		rest = rest[1:]
		if len(f) == 0 {
			return nil, l.errorf("the %s is an empty list", what)
		}
		return f, nil
	}
	one := func(what string) (token, error) {
		f, err := next(what)
		if err == nil && len(f) > 1 {
			err = l.errorf("multiple values in %s; give one, or one rule for each", what)
		}
		if err != nil {
			return token{}, err
		}
		return f[0], nil
	}
	t, err := one("connection type")
	if err != nil {
		return rule, err
	}
	rule.Type = ConnType(t.text)
	if !slices.Contains([]ConnType{Local, Host, HostSSL, HostNoSSL, HostGSS, HostNoGSS}, rule.Type) {
		return rule, l.errorf("invalid connection type %q; it is local, host, hostssl, hostnossl, hostgssenc or hostnogssenc", t.text)
	}
	if rule.databases, err = next("database"); err != nil {
		return rule, err
	}
	if rule.users, err = next("role"); err != nil {
		return rule, err
	}
	if err := errors.Join(l.compile(rule.databases), l.compile(rule.users)); err != nil {
		return rule, err
	}
	if rule.Type != Local {
		if t, err = one("IP address"); err != nil {
			return rule, err
		}
		mask := func() (token, error) { return one("netmask") }
		if rule.addresses, err = parseAddress(l, t, mask); err != nil {
			return rule, err
		}
	}
	if t, err = one("authentication method"); err != nil {
		return rule, err
	}
	if rule.Method, err = parseMethod(l, rule.Type, t.text); err != nil {
		return rule, err
	}
	if rule.Method == Cert {
		rule.ClientCert = CertVerifyFull
	}
	if rule.Method == ByLDAP {
		rule.ldap = &ldapOptions{LDAP: LDAP{Scheme: "ldap", Scope: ScopeSub}}
	}
	for _, f := range rest {
		for _, t := range f {
			if err := rule.option(l, t.text); err != nil {
				return rule, err
			}
		}
	}
	if rule.Method == ByLDAP {
		if rule.LDAP, err = rule.ldap.finish(l); err != nil {
			return rule, err
		}
		rule.ldap = nil
	}
	if rule.Method == OAuth && (rule.Issuer == "" || rule.Scope == "") {
		return rule, l.errorf("method oauth needs the options issuer and scope")
	}
	if rule.Method == OAuth && rule.Map != "" && rule.DelegateMapping {
		return rule, l.errorf("the options map and delegate_ident_mapping exclude each other")
	}
	return rule, nil
}

func parseMethod(l line, typ ConnType, word string) (Method, error) {
	m := Method(word)
	switch {
	case word == "ident" && typ == Local:
		return Peer, nil // PostgreSQL reads it so, for old files
	case slices.Contains(unsupported, word):
		return "", l.errorf("authentication method %q is not supported by this server; use trust, reject, password, md5, scram-sha-256, peer, cert, ldap or oauth", word)
	case !slices.Contains([]Method{Trust, Reject, Password, MD5, SCRAM, Peer, Cert, OAuth, ByLDAP}, m):
		return "", l.errorf("invalid authentication method %q", word)
	case m == Peer && typ != Local:
		return "", l.errorf("peer authentication is only supported on local sockets")
	case m == Cert && typ != HostSSL:
		return "", l.errorf("cert authentication is only supported on hostssl connections")
	}
	return m, nil
}

func (rule *Rule) option(l line, text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return l.errorf("authentication option not in name=value format: %s", text)
	}
	only := func(ms ...Method) error {
		if slices.Contains(ms, rule.Method) {
			return nil
		}
		return l.errorf("authentication option %q is only valid for methods %v", name, ms)
	}
	if strings.HasPrefix(name, "ldap") {
		if rule.Method != ByLDAP {
			return only(ByLDAP)
		}
		if known, err := rule.ldap.option(l, name, value); known {
			return err
		}
	}
	switch name {
	case "map":
		rule.Map = value
		return only(Peer, Cert, OAuth)
	case "clientcert":
		if rule.Type != HostSSL {
			return l.errorf("clientcert can only be configured for \"hostssl\" rows")
		}
		switch {
		case value == "verify-full":
			rule.ClientCert = CertVerifyFull
		case value == "verify-ca" && rule.Method == Cert:
			return l.errorf("clientcert only accepts \"verify-full\" when using \"cert\" authentication")
		case value == "verify-ca":
			rule.ClientCert = CertVerifyCA
		default:
			return l.errorf("invalid value for clientcert: %q; it is verify-ca or verify-full", value)
		}
		return nil
	case "clientname":
		if rule.Type != HostSSL {
			return l.errorf("clientname can only be configured for \"hostssl\" rows")
		}
		switch value {
		case "CN":
			rule.ClientName = auth.CertCN
		case "DN":
			rule.ClientName = auth.CertDN
		default:
			return l.errorf("invalid value for clientname: %q; it is CN or DN", value)
		}
		return nil
	case "issuer":
		rule.Issuer = value
		return only(OAuth)
	case "scope":
		rule.Scope = value
		return only(OAuth)
	case "validator":
		rule.Validator = value
		return only(OAuth)
	case "delegate_ident_mapping":
		b, err := strconv.ParseBool(value)
		if err != nil {
			return l.errorf("invalid value for delegate_ident_mapping: %q; it is 0 or 1", value)
		}
		rule.DelegateMapping = b
		return only(OAuth)
	}
	return l.errorf("unrecognized authentication option name: %q", name)
}

// unmap gives an IPv4 address inside IPv6 back its own form.
func unmap(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
