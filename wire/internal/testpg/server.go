package testpg

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Server is a running PostgreSQL that listens on a unix socket only. Its superuser is
// postgres and everybody is trusted.
type Server struct {
	Dir    string // data directory
	Socket string // directory of the socket; the port is 5432
	PID    int

	cmd  *exec.Cmd
	done chan struct{}
	log  bytes.Buffer
}

// New makes a data directory and starts a server in it.
func New(t testing.TB, major int, settings map[string]string) *Server {
	t.Helper()
	bin := Bin(t, major)
	return Start(t, bin, Init(t, bin), settings)
}

// Start starts a server in a data directory. It is stopped when the test ends.
func Start(t testing.TB, bin, dir string, settings map[string]string) *Server {
	t.Helper()
	// t.TempDir may be too long for a socket's path.
	socket, err := os.MkdirTemp("/tmp", "pgwire-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(socket) })

	all := map[string]string{
		"listen_addresses": "", "unix_socket_directories": socket, "port": "5432",
		"wal_level": "logical", "max_wal_senders": "10", "max_replication_slots": "10",
		"fsync": "off", "shared_buffers": "32MB", "max_wal_size": "512MB", "min_wal_size": "8MB",
	}
	maps.Copy(all, settings)
	args := []string{"-D", dir}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	s := &Server{Dir: dir, Socket: socket, done: make(chan struct{})}
	s.cmd = command(filepath.Join(bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.PID = s.cmd.Process.Pid
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() { s.end(syscall.SIGQUIT) })
	if err := s.wait(); err != nil {
		s.Stop()
		t.Fatalf("start server in %s: %v\n%s", dir, err, s.log.String())
	}
	return s
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
	return s.log.String()
}

// URL returns a connection string.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("host=%s port=5432 user=postgres dbname=%s sslmode=disable", s.Socket, database)
}

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
