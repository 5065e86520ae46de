package engines_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// serve serves a temporary WebAssembly server on a unix socket and returns its directory.
func serve(t *testing.T) (dir string) {
	t.Helper()
	e := wasm.New(wasm.Config{})
	srv, err := e.Start(t.Context(), engines.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	dir, err = os.MkdirTemp("", "srv") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, ".s.PGSQL.5432")
	ln, err := engines.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", fi.Mode(), err)
	}
	if _, err := engines.ListenUnix(path); !errors.Is(err, engines.ErrLocked) {
		t.Errorf("a second listener: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- engines.Serve(ctx, ln, func(_ context.Context, s engines.Startup) (engines.Server, error) {
			if s.Database == "forbidden" {
				return nil, errors.New("not for you")
			}
			return srv, nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := errors.Join(srv.Close(context.Background()), e.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func psql(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	bin, err := exec.LookPath("psql")
	if err != nil {
		bin = "/usr/lib/postgresql/15/bin/psql"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append([]string{"-XAtq", "-v", "ON_ERROR_STOP=1", "-h", dir, "-U", "postgres", "-d", "postgres"}, args...)...)
	cmd.Env = append(os.Environ(), "PGCONNECT_TIMEOUT=60", "PGSSLMODE=prefer", "PGGSSENCMODE=disable")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestServe lets psql work, twice at once, with COPY and transactions.
func TestServe(t *testing.T) {
	dir := serve(t)
	if out, err := psql(t, dir, "-c", "create table t(v int)", "-c", "select current_setting('server_version_num')::int >= 180000"); err != nil || out != "t" {
		t.Fatalf("%s, %v", out, err)
	}
	var g errgroup.Group
	for range 2 {
		g.Go(func() error {
			script := strings.Repeat("begin; insert into t values (1); commit;\nselect pg_sleep(0.001);\n", 20) + "copy t from stdin;\n1\n1\n\\.\n"
			file := filepath.Join(t.TempDir(), "script.sql")
			if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
				return err
			}
			if out, err := psql(t, dir, "-f", file); err != nil {
				return errors.New(out)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if out, err := psql(t, dir, "-c", "select sum(v) from t"); err != nil || out != "44" {
		t.Errorf("%s, %v; want 44", out, err)
	}
	if out, err := psql(t, dir, "-d", "forbidden", "-c", "select 1"); err == nil || !strings.Contains(out, "not for you") {
		t.Errorf("a refused route: %s, %v", out, err)
	}
}

// TestServeStartup sends what clients send, and what nobody should.
func TestServeStartup(t *testing.T) {
	path := filepath.Join(serve(t), ".s.PGSQL.5432")
	request := func(code uint32) []byte {
		b := make([]byte, 8)
		binary.BigEndian.PutUint32(b, 8)
		binary.BigEndian.PutUint32(b[4:], code)
		return b
	}
	startup := append([]byte{0, 0, 0, 0, 0, 3, 0, 0}, "user\x00postgres\x00\x00"...)
	binary.BigEndian.PutUint32(startup, uint32(len(startup)))
	for _, tt := range []struct {
		name string
		send []byte
		want string // prefix of the answer
	}{
		{"TLS, then startup", append(request(80877103), startup...), "NR"},
		{"GSS, TLS, then startup", append(append(request(80877104), request(80877103)...), startup...), "NNR"},
		{"TLS for ever", bytes.Repeat(request(80877103), 4), "NNNE"},
		{"too long", []byte{0x7f, 0, 0, 0, 0, 3, 0, 0}, "E"},
		{"too short", []byte{0, 0, 0, 3, 0, 3, 0, 0}, "E"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), "E"},
		{"protocol 2", []byte{0, 0, 0, 9, 0, 2, 0, 0, 0}, "E"},
		{"no user", []byte{0, 0, 0, 9, 0, 3, 0, 0, 0}, "E"},
		{"protocol 3.9", append([]byte{0, 0, 0, 23, 0, 3, 0, 9}, startup[8:]...), "v"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
			if _, err := c.Write(tt.send); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(tt.want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != tt.want {
				t.Errorf("answer %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
