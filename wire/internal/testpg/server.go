package testpg

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Server is a running PostgreSQL. Its superuser is postgres, and everybody is trusted
// unless its options say otherwise.
type Server struct {
	Dir    string // data directory
	Socket string // directory of the socket
	Port   int    // of the socket and of TCP
	PID    int
	Cert   tls.Certificate // with Options.TLS; for localhost, its own authority

	cmd  *exec.Cmd
	done chan struct{}
	log  bytes.Buffer
	home string // goes with the server; "" if it is a test's
}

// Options say what server to start. The zero value is PostgreSQL 15 on a unix socket that
// trusts everybody.
type Options struct {
	Major    int
	Settings map[string]string
	TCP      bool   // listen on 127.0.0.1 too
	TLS      bool   // listen on 127.0.0.1 with the certificate in Server.Cert
	HBA      string // the text of pg_hba.conf; it has to let postgres in on the socket
}

// New makes a data directory and starts a server in it that listens on a unix socket only.
func New(t testing.TB, major int, settings map[string]string) *Server {
	t.Helper()
	return NewWith(t, Options{Major: major, Settings: settings})
}

// NewWith makes a data directory and starts a server in it. It is stopped when the test ends.
func NewWith(t testing.TB, o Options) *Server {
	t.Helper()
	bin := Bin(t, cmp.Or(o.Major, 15))
	return begin(t, bin, Init(t, bin), o)
}

// Start starts a server in a data directory, on a unix socket only. It is stopped when the
// test ends.
func Start(t testing.TB, bin, dir string, settings map[string]string) *Server {
	t.Helper()
	return begin(t, bin, dir, Options{Settings: settings})
}

func begin(t testing.TB, bin, dir string, o Options) *Server {
	t.Helper()
	s, err := launch(bin, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(syscall.SIGQUIT) })
	return s
}

// Launch makes a data directory and starts a server in it for all tests of a package: no
// test's end stops it, Close does.
func Launch(o Options) (*Server, error) {
	bin, err := find(cmp.Or(o.Major, 15))
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "testpg-")
	if err != nil {
		return nil, err
	}
	dir, err := initIn(bin, home)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	s, err := launch(bin, dir, o)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	s.home = home
	return s, nil
}

// Close ends a server that Launch has started, and removes its data.
func (s *Server) Close() error {
	s.end(syscall.SIGQUIT)
	return os.RemoveAll(s.home)
}

func launch(bin, dir string, o Options) (*Server, error) {
	// t.TempDir may be too long for a socket's path.
	socket, err := os.MkdirTemp("/tmp", "pgwire-")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, Socket: socket, Port: 5432, done: make(chan struct{})}
	args, err := s.configure(o)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(socket))
	}
	s.cmd = command(filepath.Join(bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(socket))
	}
	s.PID = s.cmd.Process.Pid
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.wait(); err != nil {
		text := s.Stop()
		return nil, fmt.Errorf("start server in %s: %w\n%s", dir, err, text)
	}
	return s, nil
}

// configure writes what options ask for into the data directory and returns the server's
// arguments.
func (s *Server) configure(o Options) ([]string, error) {
	all := map[string]string{
		"listen_addresses": "", "unix_socket_directories": s.Socket,
		"wal_level": "logical", "max_wal_senders": "10", "max_replication_slots": "10",
		"fsync": "off", "shared_buffers": "32MB", "max_wal_size": "512MB", "min_wal_size": "8MB",
	}
	if o.TCP || o.TLS {
		var err error
		if s.Port, err = freePort(); err != nil {
			return nil, err
		}
		all["listen_addresses"] = "127.0.0.1"
	}
	if o.TLS {
		if err := s.certify(); err != nil {
			return nil, err
		}
		all["ssl"] = "on"
	}
	if o.HBA != "" {
		if err := os.WriteFile(filepath.Join(s.Dir, "pg_hba.conf"), []byte(o.HBA), 0o600); err != nil {
			return nil, err
		}
	}
	all["port"] = strconv.Itoa(s.Port)
	maps.Copy(all, o.Settings)
	args := []string{"-D", s.Dir}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args, nil
}

// wait returns once the server lets somebody in.
func (s *Server) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgconn.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.done:
			return fmt.Errorf("the server ended: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// Stop stops the server at once but in order, and returns what it has logged.
func (s *Server) Stop() string { return s.end(syscall.SIGINT) }

// Kill ends the server and its children without warning.
func (s *Server) Kill() string {
	killGroup(s.PID)
	return s.end(syscall.SIGKILL)
}

func (s *Server) end(sig syscall.Signal) string {
	_ = s.cmd.Process.Signal(sig)
	<-s.done
	_ = os.RemoveAll(s.Socket) // a socket that a killed server has left
	return s.log.String()
}

// URL returns a connection string.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable", s.Socket, s.Port, database)
}

// Addr returns the server's TCP address.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Config returns a configuration for pgconn.
func (s *Server) Config(t testing.TB, database string) *pgconn.Config {
	t.Helper()
	cfg, err := pgconn.ParseConfig(s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Connect opens a session that is closed when the test ends.
func (s *Server) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Exec runs statements in a session of their own.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}
