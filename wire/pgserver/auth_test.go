package pgserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/auth/hba"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

func whoami(w pgserver.ResponseWriter, q *pgserver.Query) error {
	if err := w.Columns(pgserver.Text("user"), pgserver.Text("method"), pgserver.Text("system")); err != nil {
		return err
	}
	id := q.Session.Identity()
	return w.Row(id.User, id.Method, id.System)
}

func scramText(t testing.TB, password string) string {
	t.Helper()
	s, err := auth.NewSCRAMSecret(password, 200)
	if err != nil {
		t.Fatal(err)
	}
	return s.Text()
}

// pgx's connection matrix: each kind of password, with and without TLS, with each demand for
// channel binding, right and wrong passwords, and users that are not there.
func TestConnectionMatrix(t *testing.T) {
	secrets := auth.Secrets{
		"scram": scramText(t, "secret"), "plain": "secret",
		"md5": auth.NewMD5Secret("md5", "secret").Text(),
	}
	methods := map[string]pgserver.Authenticator{
		"trust": pgserver.Trust(), "password": pgserver.Password(secrets), "md5": pgserver.MD5(secrets), "scram-sha-256": pgserver.SCRAM(secrets),
	}
	for method, a := range methods {
		ts := wiretest.NewUnstartedServer(pgserver.HandlerFunc(whoami))
		ts.Config.Auth = a
		ts.StartTLS()
		defer ts.Close()
		for _, kind := range []string{"scram", "plain", "md5", "nobody"} {
			for _, password := range []string{"secret", "wrong", ""} {
				for _, mode := range []string{"disable", "require", "verify-full", "direct"} {
					for _, binding := range []string{"disable", "prefer", "require"} {
						name := fmt.Sprintf("%s, %s, %q, tls %s, binding %s", method, kind, password, mode, binding)
						usesSCRAM := method == "scram-sha-256" || method == "md5" && kind == "scram"
						ok := method == "trust" || password == "secret" && kind != "nobody" && (method != "scram-sha-256" || kind != "md5")
						if binding == "require" && (mode == "disable" || !usesSCRAM) {
							ok = false // pgx refuses
						}
						err := tryConnect(t, ts, kind, password, mode, binding)
						if (err == nil) != ok {
							t.Errorf("%s: %v", name, err)
						}
						var pgErr *pgconn.PgError
						if err != nil && errors.As(err, &pgErr) && (pgErr.Severity != "FATAL" || pgErr.Code != "28P01" || !strings.Contains(pgErr.Message, kind)) {
							t.Errorf("%s: %v", name, err)
						}
					}
				}
			}
		}
	}
}

func tryConnect(t *testing.T, ts *wiretest.Server, user, password, mode, binding string) error {
	t.Helper()
	host, port, err := net.SplitHostPort(ts.Addr())
	if err != nil {
		t.Fatal(err)
	}
	sslmode, extra := mode, ""
	if mode == "direct" {
		sslmode, extra = "require", " sslnegotiation=direct"
	}
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s dbname=d sslmode=%s channel_binding=%s%s", host, port, user, strings.Replace(sslmode, "verify-full", "require", 1), binding, extra))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = password
	if mode == "verify-full" {
		cfg.TLSConfig = ts.ClientConfig()
	}
	cfg.Fallbacks = nil
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var got, method, system string
	if err := conn.QueryRow(ctx, "whoami").Scan(&got, &method, &system); err != nil {
		return err
	}
	if got != user {
		t.Errorf("connected as %q, not %q", got, user)
	}
	return nil
}

// An Authenticator's error always ends the connection, whatever severity it claims: no session
// comes of it.
func TestAuthErrorIsTerminal(t *testing.T) {
	for name, err := range map[string]error{
		"plain error":   errors.New("the password file is gone: /etc/secret"),
		"severity":      &wire.Error{Severity: wire.SeverityError, Code: "28000", Message: "no"},
		"notice":        &wire.Error{Severity: wire.SeverityNotice, Code: "00000", Message: "hm"},
		"refusal":       auth.PasswordFailed("joe", "because"),
		"no code":       &wire.Error{Message: "x"},
		"nil, no one":   nil,
		"panic instead": errPanic,
	} {
		srv := &pgserver.Server{Handler: &numbers{}, Auth: pgserver.AuthenticatorFunc(func(context.Context, *pgserver.AuthConn) (*pgserver.Identity, error) {
			if err == errPanic {
				panic(err)
			}
			return nil, err
		})}
		if name == "severity" { // a hook cannot soften it either
			srv.ErrorHook = func(_ *pgserver.Session, err error) *wire.Error {
				return &wire.Error{Severity: wire.SeverityWarning, Code: "01000", Message: "softened"}
			}
		}
		p := dial(t, addrOf(start(t, srv)))
		p.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "joe"}}}, query("count 1"))
		got := p.end()
		if !strings.HasPrefix(got, "FATAL:") || !strings.HasSuffix(got, " closed") || strings.Contains(got, "Z") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

var errPanic = errors.New("panic")

// What an internal error says stays here.
func TestAuthErrorHidesInternals(t *testing.T) {
	p := dial(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}, Auth: pgserver.Password(auth.SecretFunc(
		func(context.Context, auth.SecretRequest) (auth.Secret, error) {
			return auth.Secret{}, errors.New("dial tcp 10.0.0.7: refused")
		}))})))
	p.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "joe"}}})
	_, m, err := p.next()
	e, ok := m.(*wire.ErrorResponse)
	if err != nil || !ok || e.Error.Code != "XX000" || strings.Contains(e.Error.Message, "10.0.0.7") {
		t.Errorf("%v, %+v", err, m)
	}
}

// Unknown roles look like known ones: the same messages, a salt that stays the same, the same
// iteration count.
func TestUnknownUsersLookKnown(t *testing.T) {
	for name, secret := range map[string]string{"verifier": scramText(t, "x"), "plain": "x"} {
		addr := addrOf(start(t, &pgserver.Server{Handler: &numbers{}, Auth: pgserver.SCRAM(auth.Secrets{"joe": secret})}))
		ask := func(user string) (first string) {
			p := dial(t, addr)
			p.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: user}}})
			if _, _, err := p.next(); err != nil {
				t.Fatal(err)
			}
			p.send(&wire.SASLInitialResponse{Mechanism: auth.SCRAMSHA256, Data: []byte("n,,n=,r=abc")})
			_, m, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			data := string(m.(*wire.AuthenticationSASLContinue).Data)
			_, first, _ = strings.Cut(data, ",")
			p.send(&wire.SASLResponse{Data: []byte(strings.Replace("c=biws,"+data[:strings.Index(data, ",")], ",r=", ",r=", 1) + ",p=" + strings.Repeat("A", 43) + "=")})
			if got := p.end(); got != "FATAL:28P01 closed" {
				t.Errorf("%s, %s: %s", name, user, got)
			}
			return first
		}
		joe, nobody := ask("joe"), ask("nobody")
		if nobody != ask("nobody") || joe != ask("joe") {
			t.Errorf("%s: the salt changes", name)
		}
		if a, b := joe[strings.Index(joe, "i="):], nobody[strings.Index(nobody, "i="):]; a != b || len(joe) != len(nobody) {
			t.Errorf("%s: %s and %s", name, joe, nobody)
		}
	}
}

func TestRules(t *testing.T) {
	rules, err := hba.ParseString(`
local   all all peer map=os
hostssl all cert all cert
hostssl all both all scram-sha-256 clientcert=verify-full
host    all refused all reject
host    all bearer all oauth issuer=https://id.example scope=db map=o
host    all trusted 127.0.0.1/32 trust
host    all +staff all password
`)
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	maps, err := hba.ParseIdentString("os " + me.Username + " joe\no /^(.*)@example.com$ \\1\n")
	if err != nil {
		t.Fatal(err)
	}
	config := pgserver.Rules{
		HBA: rules, Ident: maps,
		Secrets: auth.Secrets{"both": scramText(t, "secret"), "staffer": "secret", "joe": "x"},
		HasRole: func(user, role string) bool { return user == "staffer" && role == "staff" },
	}
	if _, err := pgserver.NewRules(config); err == nil || !strings.Contains(err.Error(), "pg_hba.conf:6") {
		t.Errorf("no validator: %v", err)
	}
	config.Validators = map[string]auth.Validator{"": auth.ValidatorFunc(func(_ context.Context, r auth.BearerRequest) (auth.BearerResult, error) {
		return auth.BearerResult{Identity: "bearer@example.com", Authorized: r.Token == "good"}, nil
	})}
	a, err := pgserver.NewRules(config)
	if err != nil {
		t.Fatal(err)
	}
	clientCert, err := wiretest.Certificate("cert")
	if err != nil {
		t.Fatal(err)
	}
	bothCert, err := wiretest.Certificate("both")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(clientCert.Leaf)
	pool.AddCert(bothCert.Leaf)
	ts := wiretest.NewUnstartedServer(pgserver.HandlerFunc(whoami))
	ts.Config.Auth = a
	ts.Config.TLS = &tls.Config{ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	ts.StartTLS()
	defer ts.Close()

	dial := func(user, password, sslmode string, cert *tls.Certificate) (string, error) {
		cfg, err := pgx.ParseConfig(ts.URLFor(user, password, sslmode))
		if err != nil {
			t.Fatal(err)
		}
		if sslmode == "require" {
			cfg.TLSConfig = ts.ClientConfig()
			if cert != nil {
				cfg.TLSConfig.Certificates = []tls.Certificate{*cert}
			}
		}
		if user == "bearer" {
			cfg.OAuthTokenProvider = func(context.Context) (string, error) { return password, nil }
		}
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			return "", err
		}
		defer conn.Close(t.Context())
		var who, method, system string
		err = conn.QueryRow(t.Context(), "x").Scan(&who, &method, &system)
		return method + " " + system, err
	}
	tests := []struct {
		user, password, mode string
		cert                 *tls.Certificate
		want                 string
	}{
		{"cert", "", "require", &clientCert, "cert cert"},
		{"cert", "", "require", &bothCert, "certificate authentication failed"},
		{"cert", "", "require", nil, "requires a valid client certificate"},
		{"cert", "", "disable", nil, "no pg_hba.conf entry for host"},
		{"both", "secret", "require", &bothCert, "scram-sha-256 both"},
		{"both", "wrong", "require", &bothCert, "password authentication failed"},
		{"both", "secret", "require", &clientCert, "certificate authentication failed"},
		{"refused", "", "disable", nil, "pg_hba.conf rejects connection"},
		{"bearer", "good", "require", nil, "oauth bearer@example.com"},
		{"bearer", "bad", "require", nil, "invalid_token"},
		{"trusted", "", "disable", nil, "trust "},
		{"staffer", "secret", "disable", nil, "password staffer"},
		{"staffer", "no", "disable", nil, "password authentication failed"},
		{"stranger", "", "disable", nil, `no pg_hba.conf entry for host "127.0.0.1", user "stranger", database "test", no encryption`},
		{"stranger", "", "require", nil, "SSL encryption"},
	}
	for _, tt := range tests {
		got, err := dial(tt.user, tt.password, tt.mode, tt.cert)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s %s: got %q, want %q", tt.user, tt.password, got, tt.want)
		}
	}
	t.Run("peer", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "pgs") // short: a socket's path has 107 bytes
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
		if err != nil {
			t.Fatal(err)
		}
		srv := &pgserver.Server{Handler: pgserver.HandlerFunc(whoami), Auth: a}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		defer func() {
			if err := errors.Join(srv.Close(), <-served); !errors.Is(err, pgserver.ErrServerClosed) {
				t.Error(err)
			}
		}()
		for _, tt := range []struct{ user, want string }{{"joe", ""}, {"jane", "peer authentication failed"}} {
			conn, err := pgx.Connect(t.Context(), "host="+dir+" port=5432 dbname=d user="+tt.user)
			if err != nil {
				if tt.want == "" || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v", tt.user, err)
				}
				continue
			}
			var who, method, system string
			if err := conn.QueryRow(t.Context(), "x").Scan(&who, &method, &system); err != nil || tt.want != "" || method != "peer" || system != me.Username {
				t.Errorf("%s: %s %s, %v", tt.user, method, system, err)
			}
			conn.Close(t.Context())
		}
	})
}

// Nobody but this machine gets in without an Auth, and TLS can be demanded.
func TestDefaults(t *testing.T) {
	p := dial(t, addrOf(start(t, &pgserver.Server{Handler: &numbers{}})))
	p.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "joe"}, {Name: "options", Value: "-c extra_float_digits=3"}}})
	got := strings.Fields(p.until('Z'))
	for _, want := range []string{"S(standard_conforming_strings=on)", "S(client_encoding=UTF8)", "S(integer_datetimes=on)", "S(session_authorization=joe)"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %v", want, got)
		}
	}
	client, server := net.Pipe()
	stranger := strangeConn{server}
	srv := &pgserver.Server{Handler: &numbers{}}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeConn(t.Context(), stranger) }()
	p = newPeer(t, client)
	p.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "joe"}}})
	if got := p.end(); got != "FATAL:28000 closed" {
		t.Errorf("a stranger: %s", got)
	}
	client.Close()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	ts := wiretest.NewUnstartedServer(&numbers{})
	ts.Config.RequireTLS = true
	ts.StartTLS()
	defer ts.Close()
	if _, err := pgx.Connect(t.Context(), ts.URL); err == nil || !strings.Contains(err.Error(), "TLS connections only") {
		t.Errorf("without TLS: %v", err)
	}
	connect(t, strings.Replace(ts.URL, "disable", "require", 1))
}

// strangeConn is a connection that comes from far away.
type strangeConn struct{ net.Conn }

func (strangeConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 5), Port: 1234}
}

func (strangeConn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5432} }

// A renewed certificate is served without a restart, and SCRAM binds to it.
func TestCertificateReload(t *testing.T) {
	first, err := wiretest.Certificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	second, err := wiretest.Certificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	current := make(chan *tls.Certificate, 1)
	current <- &first
	url := start(t, &pgserver.Server{
		Handler: &numbers{}, Auth: pgserver.SCRAM(auth.Secrets{"joe": "secret"}),
		TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := <-current
			current <- c
			return c, nil
		}},
	})
	for _, want := range []*tls.Certificate{&first, &second} {
		<-current
		current <- want
		cfg, err := pgx.ParseConfig(strings.Replace(url, "disable", "require", 1) + "&channel_binding=require&password=secret")
		if err != nil {
			t.Fatal(err)
		}
		var seen []byte
		cfg.TLSConfig.VerifyConnection = func(cs tls.ConnectionState) error {
			seen = cs.PeerCertificates[0].Raw
			return nil
		}
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close(t.Context())
		if string(seen) != string(want.Certificate[0]) {
			t.Error("an old certificate was shown")
		}
	}
}

// A mechanism that was not offered is refused at once, also without an initial response, to
// which the answer would else be an empty challenge.
func TestMechanismNotOffered(t *testing.T) {
	addr := addrOf(start(t, &pgserver.Server{Handler: &numbers{}, Auth: pgserver.SCRAM(auth.Secrets{"postgres": "secret"})}))
	for _, m := range []*wire.SASLInitialResponse{
		{Mechanism: "NONE"}, {Mechanism: "NONE", Data: []byte("n,,n=,r=x")}, {Mechanism: auth.SCRAMSHA256Plus}, {Mechanism: "scram-sha-256"}, {},
	} {
		p := dial(t, addr)
		p.raw(startup(wire.Version30))
		if typ, _, err := p.next(); err != nil || typ != wire.TypeAuthentication {
			t.Fatal(typ, err)
		}
		p.send(m)
		if got := p.end(); got != "FATAL:08P01 closed" {
			t.Errorf("%q: %s", m.Mechanism, got)
		}
	}
}
