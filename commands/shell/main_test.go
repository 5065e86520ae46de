package shell_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/commands/shell"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// server is the PostgreSQL that all tests of the package use, each a database of its own.
var server engines.Server

func TestMain(m *testing.M) {
	if where := os.Getenv("SHELL_TEST_CHILD"); where != "" {
		os.Exit(child(where))
	}
	os.Exit(func() int {
		srv, err := native.New(native.Config{}).Start(context.Background(), engines.Spec{Fast: true})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		server = srv
		code := m.Run()
		if err := srv.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

var databases atomic.Int32

// database makes an empty database.
func database(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("t%d", databases.Add(1))
	sql(t, "", "CREATE DATABASE "+name)
	return name
}

// sql runs statements past the shell.
func sql(t *testing.T, db, text string) {
	t.Helper()
	conn, err := engines.Connect(t.Context(), server, db)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.PgConn().Exec(t.Context(), text).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func connConfig(db, user string) (*pgconn.Config, error) {
	cfg, err := engines.ConnConfig(server, db, user)
	if err != nil {
		return nil, err
	}
	return &cfg.Config, nil
}

// run runs the shell on a string and returns what it writes.
func run(t *testing.T, cfg shell.Config, stdin string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cfg.Server = connConfig
	cfg.Stdin, cfg.Stdout, cfg.Stderr = strings.NewReader(stdin), &out, &errs
	err = shell.Run(t.Context(), cfg)
	return out.String(), errs.String(), err
}

// psql runs PostgreSQL's own on a string and returns what it writes.
func psql(t *testing.T, db, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	info := server.Info()
	path := filepath.Join(info.Bindir, "psql")
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("psql"); err != nil {
			t.Skip("there is no psql to compare with")
		}
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"-X", "-d", db}, args...)...)
	cmd.Env = append(os.Environ(), "PGHOST="+info.Socket, "PGPORT="+strconv.Itoa(info.Port), "PGUSER="+info.User, "PGCLIENTENCODING=UTF8", "LC_ALL=C.UTF-8", "PGAPPNAME=psql")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String()
}
