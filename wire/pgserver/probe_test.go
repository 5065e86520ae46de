package pgserver_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

func query(sql string) wire.Message { return &wire.Query{SQL: sql} }

// startup returns the bytes of a startup message.
func startup(v wire.Version, params ...string) []byte {
	m := &wire.StartupMessage{Version: v, Params: []wire.Param{{Name: "user", Value: "postgres"}, {Name: "database", Value: "postgres"}}}
	for i := 0; i < len(params); i += 2 {
		m.Params = append(m.Params, wire.Param{Name: params[i], Value: params[i+1]})
	}
	return m.AppendTo(nil)
}

// The same bytes go to PostgreSQL and to us. Where ours says more or knows a later version,
// that is written down.
func TestProbes(t *testing.T) {
	ts := wiretest.NewUnstartedServer(&numbers{})
	ts.StartTLS()
	defer ts.Close()
	ssl := (&wire.SSLRequest{}).AppendTo(nil)
	gss := (&wire.GSSENCRequest{}).AppendTo(nil)
	ok := startup(wire.Version30)
	closed := "closed"
	const hello = "R"
	tests := []struct {
		name  string
		send  [][]byte // one after the other; the answer to a request for encryption between
		tls   bool     // upgrade after the first
		ours  string
		other string // PostgreSQL 15's, if it is not the same; "-" where its build decides
	}{
		{name: "plaintext behind SSLRequest", send: [][]byte{append(append([]byte{}, ssl...), ok...)}, tls: true, ours: "FATAL:08P01 closed"},
		{name: "startup of 2 GiB", send: [][]byte{{0x7f, 0xff, 0xff, 0xff}}, ours: "FATAL:08P01 closed", other: closed},
		{name: "startup of 3 bytes", send: [][]byte{{0, 0, 0, 3}}, ours: "FATAL:08P01 closed", other: closed},
		{name: "startup of 9 MB", send: [][]byte{{0, 0x89, 0x54, 0x40}}, ours: "FATAL:08P01 closed", other: closed},
		{name: "startup without a terminator", send: [][]byte{{0, 0, 0, 9, 0, 3, 0, 0, 'u'}}, ours: "FATAL:08P01 closed", other: "FATAL:28000 closed"},
		{name: "no user", send: [][]byte{{0, 0, 0, 9, 0, 3, 0, 0, 0}}, ours: "FATAL:28000 closed"},
		{name: "version 3.9999", send: [][]byte{startup(wire.VersionGrease)}, ours: "v(3.2 []) " + hello, other: "v(3.0 []) " + hello},
		{name: "version 3.1", send: [][]byte{startup(3<<16 | 1)}, ours: hello, other: "v(3.0 []) " + hello},
		{name: "3.2 and an option", send: [][]byte{startup(wire.Version32, "_pq_.foo", "1")}, ours: "v(3.2 [_pq_.foo]) " + hello, other: "v(3.0 [_pq_.foo]) " + hello},
		{name: "version 4.0", send: [][]byte{startup(4 << 16)}, ours: "FATAL:0A000 closed"},
		{name: "version 2.0", send: [][]byte{startup(2 << 16)}, ours: "FATAL:0A000 closed", other: closed},
		{name: "replication of an unknown kind", send: [][]byte{startup(wire.Version30, "replication", "maybe")}, ours: "FATAL:22023 closed"},
		{name: "query of no UTF-8", send: [][]byte{ok, []byte("Q\x00\x00\x00\x07x\xff\x00X\x00\x00\x00\x04")}, ours: "ERROR:22021 ZI closed"},
		{name: "statement of no UTF-8", send: [][]byte{ok, []byte("P\x00\x00\x00\x0a\x00x\xff\x00\x00\x00S\x00\x00\x00\x04X\x00\x00\x00\x04")}, ours: "ERROR:22021 ZI closed"},
		{name: "SSLRequest twice", send: [][]byte{ssl, ssl}, tls: true, ours: "FATAL:0A000 closed"},
		{name: "GSSENCRequest", send: [][]byte{gss, ok}, ours: hello, other: "-"},
		{name: "GSSENCRequest twice", send: [][]byte{gss, gss}, ours: "FATAL:0A000 closed", other: "-"},
		{name: "query before startup", send: [][]byte{[]byte("Q\x00\x00\x00\x06x\x00")}, ours: "FATAL:08P01 closed", other: closed},
		{name: "encoding unknown", send: [][]byte{startup(wire.Version30, "client_encoding", "klingon")}, ours: "FATAL:22023 closed", other: hello + " FATAL:22023 closed"},
		{name: "options wrong", send: [][]byte{startup(wire.Version30, "options", "-c")}, ours: "FATAL:42601 closed", other: hello + " FATAL:42601 closed"},
		{name: "DateStyle wrong", send: [][]byte{startup(wire.Version30, "DateStyle", "moon")}, ours: "FATAL:22023 closed", other: hello + " FATAL:22023 closed"},
		{name: "query of 2 GiB", send: [][]byte{ok, []byte("Q\x7f\xff\xff\xff")}, ours: "FATAL:08P01 closed", other: "closed"},
		{name: "query of -5 bytes", send: [][]byte{ok, []byte("Q\xff\xff\xff\xfb")}, ours: "FATAL:08P01 closed", other: "closed"},
		{name: "message of unknown type", send: [][]byte{ok, []byte("!\x00\x00\x00\x04")}, ours: "FATAL:08P01 closed"},
		{name: "password out of place", send: [][]byte{ok, []byte("p\x00\x00\x00\x05\x00")}, ours: "FATAL:08P01 closed"},
		{name: "query without NUL", send: [][]byte{ok, []byte("Q\x00\x00\x00\x05xX\x00\x00\x00\x04")}, ours: "ERROR:08P01 ZI closed"},
		{name: "bind with count -1", send: [][]byte{ok, []byte("B\x00\x00\x00\x0a\x00x\x00\x00\xff\xffS\x00\x00\x00\x04X\x00\x00\x00\x04")}, ours: "ERROR:08P01 ZI closed", other: "ERROR:26000 ZI closed"},
		{name: "bind to nothing", send: [][]byte{ok, (&wire.Bind{Statement: "x"}).AppendTo(nil), []byte("S\x00\x00\x00\x04X\x00\x00\x00\x04")}, ours: "ERROR:26000 ZI closed"},
		{name: "stray copy data", send: [][]byte{ok, []byte("d\x00\x00\x00\x05xc\x00\x00\x00\x04f\x00\x00\x00\x05\x00S\x00\x00\x00\x04X\x00\x00\x00\x04")}, ours: "ZI closed"},
		{name: "sync alone", send: [][]byte{ok, []byte("S\x00\x00\x00\x04X\x00\x00\x00\x04")}, ours: "ZI closed"},
		{name: "execute nothing", send: [][]byte{ok, (&wire.Execute{Portal: "x"}).AppendTo(nil), []byte("S\x00\x00\x00\x04X\x00\x00\x00\x04")}, ours: "ERROR:34000 ZI closed"},
		{name: "empty query", send: [][]byte{ok, []byte("Q\x00\x00\x00\x05\x00X\x00\x00\x00\x04")}, ours: "I ZI closed"},
		{name: "describe of kind x", send: [][]byte{ok, []byte("D\x00\x00\x00\x06x\x00S\x00\x00\x00\x04X\x00\x00\x00\x04")}, ours: "ERROR:08P01 ZI closed"},
		{name: "cancel of nobody", send: [][]byte{(&wire.CancelRequest{PID: 99, Key: []byte{1, 2, 3, 4}}).AppendTo(nil)}, ours: closed},
	}
	servers := map[string]string{"ours": ts.Addr(), "PostgreSQL": postgres(t).Addr()}
	for who, addr := range servers {
		for _, tt := range tests {
			want := tt.ours
			if who == "PostgreSQL" && tt.other != "" {
				want = tt.other
			}
			if want == "-" {
				continue
			}
			if got := probe(t, addr, tt.send, tt.tls); got != want {
				t.Errorf("%s, %s: got %s, want %s", who, tt.name, got, want)
			}
		}
	}
}

// A server without TLS does not read on either, when a client did not wait for its answer.
func TestNothingBehindDeclinedEncryption(t *testing.T) {
	addr := addrOf(start(t, &pgserver.Server{Handler: &numbers{}}))
	for name, request := range map[string]wire.StartupPacket{"SSL": &wire.SSLRequest{}, "GSS": &wire.GSSENCRequest{}} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		if _, err := nc.Write(append(request.AppendTo(nil), startup(wire.Version30)...)); err != nil {
			t.Fatal(err)
		}
		var answer [1]byte
		if _, err := io.ReadFull(nc, answer[:]); err != nil || answer[0] != 'N' {
			t.Fatalf("%s: %q, %v", name, answer, err)
		}
		if got := newPeer(t, nc).end(); got != "FATAL:08P01 closed" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// probe sends the pieces and tells what came, without the greeting's details.
func probe(t *testing.T, addr string, pieces [][]byte, upgrade bool) string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(2 * time.Minute))
	greeted := false
	var p *peer
	for i, b := range pieces {
		if _, err := nc.Write(b); err != nil {
			return "closed"
		}
		request := len(b) >= 8 && b[4] == 4 && b[5] == 210 && (b[7] == 47 || b[7] == 48)
		if request && i == 0 {
			var answer [1]byte
			if _, err := nc.Read(answer[:]); err != nil {
				return "closed"
			}
			if upgrade && answer[0] == 'S' {
				nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
			}
		}
		if len(b) > 8 && b[0] == 0 && len(pieces) > i+1 && b[5] == 3 {
			p = newPeer(t, nc)
			p.until('Z')
			greeted = true
		}
	}
	if p == nil {
		p = newPeer(t, nc)
	}
	if greeted {
		return p.end()
	}
	// A session that begins is told as "R" only.
	var out []string
	for {
		typ, m, err := p.next()
		if err != nil {
			return strings.TrimSpace(strings.Join(out, " ") + " closed")
		}
		if typ == 'S' || typ == 'K' || typ == 'N' {
			continue
		}
		if typ == 'Z' {
			return strings.Join(out, " ")
		}
		out = append(out, shorthand(typ, m))
	}
}

// A TLS client that comes without SSLRequest is served if it names the protocol.
func TestDirectTLS(t *testing.T) {
	ts := wiretest.NewUnstartedServer(&numbers{})
	var sni string
	ts.Config.TLS = &tls.Config{}
	ts.Config.Handler = pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		sni = q.Session.TLS().ServerName
		return w.Complete("OK")
	})
	ts.StartTLS()
	defer ts.Close()
	cfg := ts.ClientConfig()
	cfg.NextProtos = []string{"postgresql"}
	nc, err := tls.Dial("tcp", ts.Addr(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// PostgreSQL 15 knows no direct TLS, and hangs up (17 does as we do).
	if other, err := tls.Dial("tcp", postgres(t).Addr(), cfg); err == nil {
		t.Error("PostgreSQL 15 took a ClientHello without SSLRequest")
		other.Close()
	}
	p := newPeer(t, nc)
	p.raw(startup(wire.Version30))
	p.until('Z')
	p.send(query("x"))
	if got := p.until('Z'); got != "C(OK) ZI" || sni != "localhost" {
		t.Errorf("%s, server name %q", got, sni)
	}
	plain, err := tls.Dial("tcp", ts.Addr(), ts.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if got := newPeer(t, plain).end(); got != "FATAL:08P01 closed" {
		t.Errorf("without ALPN: %s", got)
	}
	cfg.NextProtos = []string{"http/1.1"}
	if _, err := tls.Dial("tcp", ts.Addr(), cfg); err == nil {
		t.Error("another protocol was taken")
	}
	conn := connect(t, strings.Replace(ts.URL, "sslmode=disable", "sslmode=require&sslnegotiation=direct", 1))
	if _, err := conn.Exec(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}
