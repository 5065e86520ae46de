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

// connConfig says how to reach server.
func connConfig(db, user string) (*pgconn.Config, error) { return reach(server)(db, user) }

// reach says how to reach a server.
func reach(srv engines.Server) func(db, user string) (*pgconn.Config, error) {
	return func(db, user string) (*pgconn.Config, error) {
		cfg, err := engines.ConnConfig(srv, db, user)
		if err != nil {
			return nil, err
		}
		return &cfg.Config, nil
	}
}

// run runs the shell on a string and returns what it writes.
func run(t *testing.T, cfg shell.Config, stdin string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	if cfg.Server == nil {
		cfg.Server = connConfig
	}
	cfg.Stdin, cfg.Stdout, cfg.Stderr = strings.NewReader(stdin), &out, &errs
	err = shell.Run(t.Context(), cfg)
	return out.String(), errs.String(), err
}

// psqlMajor is the version of psql that the shell is compared with: later ones list some
// catalogs in another way.
const psqlMajor = "15"

// findPsql returns the path of that psql.
func findPsql(t *testing.T) string {
	t.Helper()
	for _, dir := range append([]string{server.Info().Bindir, "/usr/lib/postgresql/" + psqlMajor + "/bin"}, filepath.SplitList(os.Getenv("PATH"))...) {
		path := filepath.Join(dir, "psql")
		out, err := exec.CommandContext(t.Context(), path, "--version").Output()
		if err == nil && strings.HasPrefix(string(out), "psql (PostgreSQL) "+psqlMajor+".") {
			return path
		}
	}
	t.Skip("there is no psql " + psqlMajor + " to compare with")
	return ""
}

// psql runs PostgreSQL's own on a string and returns what it writes.
func psql(t *testing.T, path string, srv engines.Server, db, stdin string) (stdout, stderr string) {
	t.Helper()
	info := srv.Info()
	cmd := exec.CommandContext(t.Context(), path, "-X", "-d", db)
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
