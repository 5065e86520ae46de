package engines_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// guarded serves a real server on TCP behind Passwords and returns its address.
func guarded(t *testing.T) string {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	conn, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE ROLE bare LOGIN; SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'secret'")
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	ln, err := engines.ListenTCP("127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- engines.ServeAuthenticated(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return srv, nil }, engines.Passwords())
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// TestPasswords checks who gets in, and that those who do not get PostgreSQL's error.
func TestPasswords(t *testing.T) {
	addr := guarded(t)
	for _, test := range []struct{ user, password, database, code string }{
		{"app", "secret", "postgres", ""},
		{"app", "Secret", "postgres", "28P01"},
		{"app", "secret", "nowhere", "3D000"},
		{"app", "wrong", "nowhere", "28P01"},
		{"bare", "x", "postgres", "28P01"},
		{"old", "secret", "postgres", "28P01"}, // MD5: SCRAM cannot check it
		{"nobody", "secret", "postgres", "28P01"},
		{"postgres", "secret", "postgres", "28P01"},
	} {
		cfg, err := pgx.ParseConfig("postgres://" + test.user + ":" + test.password + "@" + addr + "/" + test.database + "?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		code := ""
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			var user string
			if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&user); err != nil || user != test.user {
				t.Errorf("%s is %q: %v", test.user, user, err)
			}
			err = conn.Close(t.Context())
		}
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			code = pg.Code
			if code == "28P01" && !strings.Contains(pg.Message, "password authentication failed for user") {
				t.Errorf("%s: %s", test.user, pg.Message)
			}
		} else if err != nil {
			code = err.Error()
		}
		if code != test.code {
			t.Errorf("%s at %s with %q: %q, want %q", test.user, test.database, test.password, code, test.code)
		}
	}
}

// TestPasswordsProtocol checks that a client that does not keep to the exchange is told so
// and put out, whatever it sends, and that no statement reaches the server before.
func TestPasswordsProtocol(t *testing.T) {
	addr := guarded(t)
	message := func(typ byte, body string) []byte {
		b := append([]byte{typ}, binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))...)
		return append(b, body...)
	}
	for _, test := range []struct {
		name string
		send []byte
		want string // in the answer
	}{
		{"a query", message('Q', "SELECT 1\x00"), "08P01"},
		{"a huge message", append([]byte{'p'}, 0x7f, 0xff, 0xff, 0xff), "08P01"},
		{"a length that is none", []byte{'p', 0, 0, 0, 1}, "08P01"},
		{"another mechanism", message('p', "PLAIN\x00\x00\x00\x00\x00"), "08P01"},
		{"half a message", message('p', "SCRAM-SHA-256\x00\x00\x00\x01\x00n"), "08P01"},
		{"channel binding that was not offered", message('p', "SCRAM-SHA-256-PLUS\x00\x00\x00\x00\x00"), "08P01"},
		{"no nonce", message('p', "SCRAM-SHA-256\x00\x00\x00\x00\x04n,,x"), "08P01"},
		{"no exchange at all", message('p', ""), "08P01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
			startup := "\x00\x03\x00\x00user\x00app\x00database\x00postgres\x00\x00"
			if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(startup)+4)), startup...)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(test.send); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(answer), "R") || !strings.Contains(string(answer), "C"+test.want) || strings.Contains(string(answer), "ReadyForQuery") {
				t.Errorf("the answer is %q, want SASL and %s", answer, test.want)
			}
		})
	}
}

// TestStrangers checks that connections that are not let in yet cannot pile up.
func TestStrangers(t *testing.T) {
	ln, err := engines.ListenUnix(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- engines.ServeAuthenticated(ctx, ln, nil, engines.Passwords()) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	answers := make(chan string, 101)
	for range cap(answers) {
		c, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		go func() { // ends with c
			b, _ := io.ReadAll(c)
			answers <- string(b)
		}()
	}
	// One of them was one too many; the others wait.
	if refused := <-answers; !strings.Contains(refused, "C53300") {
		t.Errorf("a stranger was told %q", refused)
	}
	select {
	case more := <-answers:
		t.Errorf("another one was told %q", more)
	default:
	}
}
