package auth

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// RFC 7677 section 3.
func TestSCRAMVector(t *testing.T) {
	secret, err := ParseSecret(rfcVerifier)
	if err != nil {
		t.Fatal(err)
	}
	server := &SCRAMServer{Secret: secret, Mechanism: SCRAMSHA256, Nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"}
	client := &SCRAMClient{User: "user", Password: "pencil", Nonce: "rOprNGfwEbeRWgbNEkqO"}
	if _, err := client.Choose([]string{SCRAMSHA256}); err != nil {
		t.Fatal(err)
	}
	first := client.First()
	if want := "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"; string(first) != want {
		t.Errorf("client-first %s", first)
	}
	out, done, err := server.Next(first)
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; string(out) != want || done || err != nil {
		t.Fatalf("server-first %s, %v, %v", out, done, err)
	}
	final, done, err := client.Next(out)
	if want := "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="; string(final) != want || done || err != nil {
		t.Fatalf("client-final %s, %v, %v", final, done, err)
	}
	out, done, err = server.Next(final)
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; string(out) != want || !done || err != nil {
		t.Fatalf("server-final %s, %v, %v", out, done, err)
	}
	if _, done, err = client.Next(out); !done || err != nil || !client.Verified() || client.Bound() {
		t.Fatalf("client: %v, %v", done, err)
	}
	keys, err := Keys("pencil", secret.Salt, 4096)
	if err != nil || !bytes.Equal(server.ClientKey(), keys.ClientKey) {
		t.Errorf("client key %x, %v", server.ClientKey(), err)
	}
}

// exchange runs both sides against each other.
func exchange(c *SCRAMClient, s *SCRAMServer) error {
	mechanism, err := c.Choose(Mechanisms(s.Binding))
	if err != nil {
		return err
	}
	s.Mechanism = mechanism
	msg := c.First()
	for {
		out, serverDone, err := s.Next(msg)
		if err != nil {
			return err
		}
		var done bool
		if msg, done, err = c.Next(out); err != nil {
			return err
		}
		if done != serverDone {
			return errors.New("the two sides disagree about the end")
		}
		if done {
			return nil
		}
	}
}

func TestSCRAMPairs(t *testing.T) {
	verifier := func(password string) Secret {
		s, err := NewSCRAMSecret(password, 20)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	endpoint := Binding{BindEndPoint: []byte("certificate hash")}
	both := Binding{BindEndPoint: []byte("certificate hash"), BindExporter: []byte("exported")}
	keys := func(s Secret, password string) *SCRAMKeys {
		k, err := Keys(password, s.Salt, s.Iterations)
		if err != nil {
			t.Fatal(err)
		}
		return &k
	}
	fixed := verifier("x")
	tests := []struct {
		name   string
		client SCRAMClient
		server SCRAMServer
		want   string // part of the error; empty is success
	}{
		{"verifier", SCRAMClient{Password: "x"}, SCRAMServer{Secret: verifier("x")}, ""},
		{"plain", SCRAMClient{Password: "x"}, SCRAMServer{Secret: Secret{Kind: PlainSecret, Plain: "x", Iterations: 20}}, ""},
		{"keys", SCRAMClient{Keys: keys(fixed, "x")}, SCRAMServer{Secret: fixed}, ""},
		{"wrong keys", SCRAMClient{Keys: keys(fixed, "y")}, SCRAMServer{Secret: fixed}, "password authentication failed"},
		{"wrong", SCRAMClient{Password: "y"}, SCRAMServer{Secret: verifier("x"), User: "joe"}, `password authentication failed for user "joe"`},
		{"saslprep", SCRAMClient{Password: "I\u00ADX"}, SCRAMServer{Secret: verifier("IX")}, ""},
		{"raw fallback", SCRAMClient{Password: "\xff\u0007"}, SCRAMServer{Secret: verifier("\xff\u0007")}, ""},
		{"mock", SCRAMClient{Password: ""}, SCRAMServer{Secret: MockSecret([]byte("k"), "u", 20)}, "password authentication failed"},
		{"mock plain", SCRAMClient{Password: ""}, SCRAMServer{Secret: MockPlainSecret(20)}, "password authentication failed"},
		{"md5 secret", SCRAMClient{Password: "x"}, SCRAMServer{Secret: NewMD5Secret("u", "x")}, "password authentication failed"},
		{"bound", SCRAMClient{Password: "x", Binding: endpoint, Policy: BindRequire}, SCRAMServer{Secret: fixed, Binding: both}, ""},
		{"bound by exporter", SCRAMClient{Password: "x", Binding: both, BindType: BindExporter, Policy: BindRequire}, SCRAMServer{Secret: fixed, Binding: both}, ""},
		{"other type", SCRAMClient{Password: "x", Binding: both, BindType: BindExporter}, SCRAMServer{Secret: fixed, Binding: endpoint}, "unsupported SCRAM channel-binding type"},
		{"somebody between", SCRAMClient{Password: "x", Binding: Binding{BindEndPoint: []byte("another")}}, SCRAMServer{Secret: fixed, Binding: endpoint}, "SCRAM channel binding check failed"},
		{"not offered", SCRAMClient{Password: "x", Binding: endpoint, Policy: BindRequire}, SCRAMServer{Secret: fixed}, "did not offer SCRAM-SHA-256-PLUS"},
		{"not wanted", SCRAMClient{Password: "x", Binding: endpoint, Policy: BindDisable}, SCRAMServer{Secret: fixed, Binding: endpoint}, ""},
		{"could bind, not offered", SCRAMClient{Password: "x", Binding: endpoint}, SCRAMServer{Secret: fixed}, ""},
		{"require without tls", SCRAMClient{Password: "x", Policy: BindRequire}, SCRAMServer{Secret: fixed, Binding: endpoint}, "no TLS to bind to"},
		{"too many rounds", SCRAMClient{Password: "x", MaxIterations: 19}, SCRAMServer{Secret: fixed}, "more than the 19 allowed"},
		{"name with a comma", SCRAMClient{Password: "x", User: "a,b=c"}, SCRAMServer{Secret: fixed}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := exchange(&tt.client, &tt.server)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if tt.client.Verified() != (err == nil) || (tt.server.ClientKey() != nil) != (err == nil) {
				t.Error("the outcome is told wrongly")
			}
			if tt.client.Bound() != (tt.client.Policy == BindRequire && err == nil) {
				t.Error("the binding is told wrongly")
			}
		})
	}
}

// Whoever takes the -PLUS offer out of the path is found out by the client's "y".
func TestSCRAMDowngradeIsRefused(t *testing.T) {
	b := Binding{BindEndPoint: []byte("hash")}
	client := &SCRAMClient{Password: "x", Binding: b}
	server := &SCRAMServer{Secret: Secret{Kind: PlainSecret, Plain: "x", Iterations: 5}, Binding: b}
	offer := slices.DeleteFunc(Mechanisms(b), func(m string) bool { return m == SCRAMSHA256Plus })
	var err error
	if server.Mechanism, err = client.Choose(offer); err != nil {
		t.Fatal(err)
	}
	_, _, err = server.Next(client.First())
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != CodeInvalidAuthorization || failure.Message != "SCRAM channel binding negotiation error" {
		t.Errorf("got %v", err)
	}
}

func TestSCRAMServerRefusesFirst(t *testing.T) {
	b := Binding{BindEndPoint: []byte("hash")}
	tests := []struct {
		name, mechanism string
		binding         Binding
		msg             string
		code            string
		want            string
	}{
		{"empty", SCRAMSHA256, nil, "", "08P01", "The message is empty."},
		{"nul", SCRAMSHA256, nil, "n,,n=,r=a\x00", "08P01", "Message length does not match input length."},
		{"too long", SCRAMSHA256, nil, "n,,n=,r=" + strings.Repeat("a", 1024), "08P01", "longer than 1024"},
		{"unknown mechanism", "SCRAM-SHA-1", nil, "n,,n=,r=a", "08P01", "invalid SASL authentication mechanism"},
		{"plus without tls", SCRAMSHA256Plus, nil, "p=tls-server-end-point,,n=,r=a", "08P01", "invalid SASL authentication mechanism"},
		{"plus with n", SCRAMSHA256Plus, b, "n,,n=,r=a", "08P01", "does not include channel binding data"},
		{"plus with y", SCRAMSHA256Plus, b, "y,,n=,r=a", "08P01", "does not include channel binding data"},
		{"plain with p", SCRAMSHA256, b, "p=tls-server-end-point,,n=,r=a", "08P01", "includes channel binding data"},
		{"y while offered", SCRAMSHA256, b, "y,,n=,r=a", "28000", "SCRAM channel binding negotiation error"},
		{"type unknown", SCRAMSHA256Plus, b, "p=tls-unique,,n=,r=a", "08P01", "unsupported SCRAM channel-binding type"},
		{"flag unknown", SCRAMSHA256, nil, "x,,n=,r=a", "08P01", "Unexpected channel-binding flag"},
		{"authzid", SCRAMSHA256, nil, "n,a=joe,n=,r=a", "0A000", "authorization identity"},
		{"mandatory extension", SCRAMSHA256, nil, "n,,m=x,n=,r=a", "0A000", "unsupported SCRAM extension"},
		{"no nonce", SCRAMSHA256, nil, "n,,n=", "08P01", `Attribute "r" expected`},
		{"empty nonce", SCRAMSHA256, nil, "n,,n=,r=", "08P01", "Non-printable characters in SCRAM nonce."},
		{"bad nonce", SCRAMSHA256, nil, "n,,n=,r=a b", "08P01", "Non-printable characters in SCRAM nonce."},
		{"bad extension", SCRAMSHA256, nil, "n,,n=,r=a,1=2", "08P01", "Attribute expected"},
		{"ends in comma", SCRAMSHA256, nil, "n,,n=,r=a,", "08P01", "Attribute expected"},
		{"header only", SCRAMSHA256, nil, "n", "08P01", "Comma expected"},
		{"swapped", SCRAMSHA256, nil, "n,,r=a,n=", "08P01", `Expected attribute "n"`},
		{"control character", SCRAMSHA256, nil, "n,,\x1b=", "08P01", "0x1b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &SCRAMServer{Secret: Secret{Kind: PlainSecret, Plain: "x", Iterations: 1}, Mechanism: tt.mechanism, Binding: tt.binding}
			out, done, err := s.Next([]byte(tt.msg))
			var failure *Error
			if out != nil || done || !errors.As(err, &failure) || failure.Code != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %q, %v, %v", out, done, err)
			}
			if _, done, err := s.Next([]byte("n,,n=,r=a")); done || err == nil {
				t.Error("the machine went on after an error")
			}
		})
	}
}

func TestSCRAMServerRefusesFinal(t *testing.T) {
	proof := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	tests := []struct{ name, msg, code, want string }{
		{"other nonce", "c=biws,r=ax,p=" + proof, "08P01", "Nonce does not match."},
		{"other binding", "c=eSws,r=ab,p=" + proof, "08P01", "unexpected SCRAM channel-binding attribute"},
		{"wrong proof", "c=biws,r=ab,p=" + proof, "28P01", "password authentication failed"},
		{"extension", "c=biws,r=ab,x=y,p=" + proof, "28P01", "password authentication failed"},
		{"no proof", "c=biws,r=ab", "08P01", `Attribute "p" expected`},
		{"empty proof", "c=biws,r=ab,p=", "08P01", "Malformed proof"},
		{"short proof", "c=biws,r=ab,p=AAAA", "08P01", "Malformed proof"},
		{"garbage after", "c=biws,r=ab,p=" + proof + ",x=y", "08P01", "Garbage found at the end"},
		{"not base64", "c=biws,r=ab,p=!", "08P01", "Malformed proof"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &SCRAMServer{Secret: Secret{Kind: PlainSecret, Plain: "x", Iterations: 1}, Mechanism: SCRAMSHA256, Nonce: "b"}
			if _, _, err := s.Next([]byte("n,,n=,r=a")); err != nil {
				t.Fatal(err)
			}
			out, done, err := s.Next([]byte(tt.msg))
			var failure *Error
			if out != nil || done || !errors.As(err, &failure) || failure.Code != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %q, %v, %v", out, done, err)
			}
		})
	}
}

func TestSCRAMClientRefuses(t *testing.T) {
	tests := []struct{ name, msg, want string }{
		{"other nonce", "r=zz,s=AAAA,i=1", "does not continue"},
		{"same nonce", "r=a,s=AAAA,i=1", "does not continue"},
		{"no salt", "r=ab,i=1", "no salt"},
		{"bad salt", "r=ab,s=!,i=1", "no valid salt"},
		{"zero rounds", "r=ab,s=AAAA,i=0", "no valid iteration count"},
		{"endless rounds", "r=ab,s=AAAA,i=2000000000", "more than"},
		{"extension", "m=x,r=ab,s=AAAA,i=1", "extension"},
		{"empty", "", "no valid nonce"},
	}
	for _, tt := range tests {
		c := &SCRAMClient{Password: "x", Nonce: "a"}
		if _, err := c.Choose([]string{SCRAMSHA256}); err != nil {
			t.Fatal(err)
		}
		c.First()
		if _, done, err := c.Next([]byte(tt.msg)); done || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for _, final := range []string{"v=AAAA", "e=invalid-proof", "", "x"} {
		c := &SCRAMClient{Password: "x", Nonce: "a"}
		if _, err := c.Choose([]string{SCRAMSHA256}); err != nil {
			t.Fatal(err)
		}
		c.First()
		if _, _, err := c.Next([]byte("r=ab,s=AAAA,i=1")); err != nil {
			t.Fatal(err)
		}
		if _, done, err := c.Next([]byte(final)); done || err == nil || c.Verified() {
			t.Errorf("server-final %q was believed: %v", final, err)
		}
	}
}

func FuzzSCRAM(f *testing.F) {
	f.Add(SCRAMSHA256, false, []byte("n,,n=,r=abc"), []byte("c=biws,r=abcS,p=AAAA"))
	f.Add(SCRAMSHA256Plus, true, []byte("p=tls-server-end-point,,n=,r=abc,x=y"), []byte("c=cD10bHM=,r=abcS,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	f.Add(SCRAMSHA256, true, []byte("y,,n=u,r=abc"), []byte("c=eSws,r=abcS"))
	f.Fuzz(func(t *testing.T, mechanism string, tls bool, first, final []byte) {
		s := &SCRAMServer{User: "u", Secret: MockSecret([]byte("k"), "u", 1), Mechanism: mechanism, Nonce: "S"}
		if tls {
			s.Binding = Binding{BindEndPoint: []byte("hash")}
		}
		for _, msg := range [][]byte{first, final} {
			out, done, err := s.Next(msg)
			if done || (err == nil) == (out == nil) {
				t.Fatalf("%q: %q, %v, %v", msg, out, done, err)
			}
			var failure *Error
			if err != nil && !errors.As(err, &failure) {
				t.Fatalf("%q: an error of type %T", msg, err)
			}
		}
		c := &SCRAMClient{Password: "x", Nonce: "a", MaxIterations: 100}
		if _, err := c.Choose([]string{SCRAMSHA256}); err != nil {
			t.Fatal(err)
		}
		c.First()
		for _, msg := range [][]byte{first, final} {
			if _, done, err := c.Next(msg); done || c.Verified() {
				t.Fatalf("the client believed %q: %v", msg, err)
			}
		}
	})
}
