package auth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

const liveHBA = `local all postgres trust
host all md5role 127.0.0.1/32 md5
host all plainrole 127.0.0.1/32 password
host all all 127.0.0.1/32 scram-sha-256
`

// Our verifiers are taken by PostgreSQL, its verifiers by us, and our client logs in to it.
func TestAgainstPostgreSQL(t *testing.T) {
	pg := testpg.NewWith(t, testpg.Options{TLS: true, HBA: liveHBA})
	admin, err := pgx.Connect(t.Context(), pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	// Among them: what SASLprep changes, what it refuses, what no UTF-8 decoder likes.
	passwords := []string{"pencil", "a,b=c", "I\u00ADX", "\u2168\u00A0x", "\u0221\u2168", "\u0627\u0031", "p\u200Bq", "\u0627\u0628", "Ω≈ç√", "\U0001F600é"}
	for i, password := range passwords {
		t.Run(fmt.Sprintf("%+q", password), func(t *testing.T) {
			ours, err := auth.NewSCRAMSecret(password, 0)
			if err != nil {
				t.Fatal(err)
			}
			role := fmt.Sprintf("role%d", i)
			mustExec(t, admin, fmt.Sprintf("create role %s login password '%s'", role, ours.Text()))
			mustExec(t, admin, fmt.Sprintf("create role %s_pg login password '%s'", role, password))
			// PostgreSQL's own verifier checks the password here.
			var text string
			if err := admin.QueryRow(t.Context(), "select rolpassword from pg_authid where rolname = $1", role+"_pg").Scan(&text); err != nil {
				t.Fatal(err)
			}
			theirs, err := auth.ParseSecret(text)
			if err != nil || theirs.Kind != auth.SCRAMSecret || theirs.Text() != text {
				t.Fatalf("%v, %v", theirs, err)
			}
			if !theirs.VerifyPassword(role, password) || theirs.VerifyPassword(role, password+"x") {
				t.Error("PostgreSQL's verifier is read wrongly")
			}
			for _, r := range []string{role, role + "_pg"} {
				for _, policy := range []auth.BindPolicy{auth.BindPrefer, auth.BindRequire, auth.BindDisable} {
					bound, err := login(t, pg, r, &auth.SCRAMClient{Password: password, Policy: policy}, true)
					if err != nil || bound != (policy != auth.BindDisable) {
						t.Errorf("%s, policy %d: bound %v, %v", r, policy, bound, err)
					}
				}
				if _, err := login(t, pg, r, &auth.SCRAMClient{Password: password}, false); err != nil {
					t.Errorf("%s without TLS: %v", r, err)
				}
				if _, err := login(t, pg, r, &auth.SCRAMClient{Password: password + "x"}, false); err == nil {
					t.Errorf("%s: a wrong password was taken", r)
				}
			}
			// Logging in with the keys alone, as a proxy does.
			keys, err := auth.Keys(password, theirs.Salt, theirs.Iterations)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := login(t, pg, role+"_pg", &auth.SCRAMClient{Keys: &keys}, false); err != nil {
				t.Errorf("with keys: %v", err)
			}
		})
	}
	t.Run("md5", func(t *testing.T) {
		hash := auth.NewMD5Secret("md5role", "pencil").Text()
		mustExec(t, admin, fmt.Sprintf("create role md5role login password '%s'", hash))
		if _, err := login(t, pg, "md5role", &auth.SCRAMClient{Password: "pencil"}, false); err != nil {
			t.Error(err)
		}
		if _, err := login(t, pg, "md5role", &auth.SCRAMClient{Password: "pen"}, false); err == nil {
			t.Error("a wrong password was taken")
		}
	})
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// login drives our client machine against a server with pgproto3's frames.
func login(t *testing.T, pg *testpg.Server, role string, c *auth.SCRAMClient, withTLS bool) (bound bool, err error) {
	t.Helper()
	conn, err := net.Dial("tcp", pg.Addr())
	if err != nil {
		return false, err
	}
	defer func() { conn.Close() }()
	if withTLS {
		if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
			return false, err
		}
		var answer [1]byte
		if _, err := conn.Read(answer[:]); err != nil || answer[0] != 'S' {
			return false, fmt.Errorf("answer %q to SSLRequest: %w", answer, err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(pg.Cert.Leaf)
		tc := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err := tc.Handshake(); err != nil {
			return false, err
		}
		cs := tc.ConnectionState()
		c.Binding = auth.ClientBinding(&cs)
		conn = tc
	}
	fe := pgproto3.NewFrontend(conn, conn)
	fe.Send(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": role, "database": "postgres"}})
	for {
		if err := fe.Flush(); err != nil {
			return false, err
		}
		msg, err := fe.Receive()
		if err != nil {
			return false, err
		}
		switch msg := msg.(type) {
		case *pgproto3.AuthenticationSASL:
			mechanism, err := c.Choose(msg.AuthMechanisms)
			if err != nil {
				return false, err
			}
			fe.Send(&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: c.First()})
		case *pgproto3.AuthenticationSASLContinue:
			out, _, err := c.Next(msg.Data)
			if err != nil {
				return false, err
			}
			fe.Send(&pgproto3.SASLResponse{Data: out})
		case *pgproto3.AuthenticationSASLFinal:
			if _, done, err := c.Next(msg.Data); err != nil || !done {
				return false, fmt.Errorf("done %v: %w", done, err)
			}
		case *pgproto3.AuthenticationMD5Password:
			fe.Send(&pgproto3.PasswordMessage{Password: auth.MD5Response(role, c.Password, msg.Salt)})
		case *pgproto3.AuthenticationOk, *pgproto3.ParameterStatus, *pgproto3.BackendKeyData:
		case *pgproto3.ReadyForQuery:
			return c.Bound(), nil
		case *pgproto3.ErrorResponse:
			return false, errors.New(msg.Message)
		default:
			return false, fmt.Errorf("unexpected %T", msg)
		}
	}
}

// pgx's own SCRAM client against our server machine, password after password.
func TestAgainstPgxClient(t *testing.T) {
	cert, err := wiretest.Certificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, binding := range []string{"disable", "prefer", "require"} {
		// Not with what NFKC or the removal of invisible characters changes: pgx has another
		// profile (PRECIS), which leaves it. TestAgainstPostgreSQL has those.
		for _, password := range []string{"pencil", "caf\u00e9 \u03a9", "\u0627\u0031", "\u0221\u2168", "x\u00A0y", strings.Repeat("long", 50)} {
			t.Run(fmt.Sprintf("%s %.12q", binding, password), func(t *testing.T) {
				secret, err := auth.NewSCRAMSecret(password, 64)
				if err != nil {
					t.Fatal(err)
				}
				for _, typed := range []string{password, password + "!"} {
					machine := &auth.SCRAMServer{User: "joe", Secret: secret}
					served := make(chan error, 1)
					err = connectPgx(t, cert, binding, typed, machine, served)
					serverErr := <-served
					right := typed == password
					if (err == nil) != right || (serverErr == nil) != right {
						t.Fatalf("typed %q: pgx %v, server %v", typed, err, serverErr)
					}
					plus := machine.Mechanism == auth.SCRAMSHA256Plus
					if plus != (binding != "disable") {
						t.Errorf("mechanism %s", machine.Mechanism)
					}
				}
			})
		}
	}
}

func connectPgx(t *testing.T, cert tls.Certificate, binding, password string, machine *auth.SCRAMServer, served chan<- error) error {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		served <- serveSCRAM(server, cert, machine)
	}()
	cfg, err := pgconn.ParseConfig("host=localhost user=joe dbname=d sslmode=require sslnegotiation=direct channel_binding=" + binding)
	if err != nil {
		return err
	}
	cfg.Password = password
	cfg.TLSConfig.InsecureSkipVerify = true
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"pipe"}, nil }
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	if err != nil {
		return err
	}
	_ = conn.Close(t.Context()) // the peer has gone at Terminate: its closeNotify finds nobody
	return nil
}

func serveSCRAM(raw net.Conn, cert tls.Certificate, machine *auth.SCRAMServer) error {
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"postgresql"}})
	if err := conn.Handshake(); err != nil {
		return err
	}
	cs := conn.ConnectionState()
	machine.Binding = auth.ServerBinding(&cs, cert.Leaf)
	be := pgproto3.NewBackend(conn, conn)
	if _, err := be.ReceiveStartupMessage(); err != nil {
		return err
	}
	send := func(m pgproto3.BackendMessage, authType uint32) error {
		be.Send(m)
		if err := be.Flush(); err != nil {
			return err
		}
		return be.SetAuthType(authType)
	}
	if err := send(&pgproto3.AuthenticationSASL{AuthMechanisms: auth.Mechanisms(machine.Binding)}, pgproto3.AuthTypeSASL); err != nil {
		return err
	}
	for {
		msg, err := be.Receive()
		if err != nil {
			return err
		}
		var data []byte
		switch msg := msg.(type) {
		case *pgproto3.SASLInitialResponse:
			machine.Mechanism, data = msg.AuthMechanism, msg.Data
		case *pgproto3.SASLResponse:
			data = msg.Data
		default:
			return fmt.Errorf("unexpected %T", msg)
		}
		out, done, err := machine.Next(data)
		if err != nil {
			if failure, ok := errors.AsType[*auth.Error](err); ok {
				be.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: failure.Code, Message: failure.Message})
			}
			return errors.Join(err, be.Flush())
		}
		if done {
			be.Send(&pgproto3.AuthenticationSASLFinal{Data: out})
			be.Send(&pgproto3.AuthenticationOk{})
			be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if err := be.Flush(); err != nil {
				return err
			}
			if _, err := be.Receive(); err != nil && !strings.Contains(err.Error(), "EOF") {
				return err
			}
			return nil
		}
		if err := send(&pgproto3.AuthenticationSASLContinue{Data: out}, pgproto3.AuthTypeSASLContinue); err != nil {
			return err
		}
	}
}
