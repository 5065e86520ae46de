package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// PassFile returns the path of a password file (libpq's pgpass format) for the server's
// TCP listener. When it is not there it is made with mode 0600, and the superuser gets a
// random password.
func (s *Server) PassFile(ctx context.Context) (string, error) {
	return s.f.pgpass(), MakePassFile(ctx, s, s.f.pgpass())
}

// Password returns the password in PassFile's file, or "" if there is none.
func (s *Server) Password() (string, error) { return ReadPassFile(s.f.pgpass()) }

// MakePassFile gives the superuser of srv a random password and writes it to a new
// password file at path, with mode 0600, unless there is one already, whose mode is put right. Its directory must
// exist and is where concurrent calls wait for one another.
func MakePassFile(ctx context.Context, srv engines.Server, path string) error {
	lock, err := dirlock.Exclusive(ctx, filepath.Join(filepath.Dir(path), "init.lock"))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	if fi, err := os.Stat(path); err == nil {
		if fi.Mode().Perm()&0o077 == 0 {
			return nil
		}
		return os.Chmod(path, 0o600) // as libpq wants it, too, which else passes the file over
	}
	password := randomPassword()
	if err := setPassword(ctx, srv, password); err != nil {
		return fmt.Errorf("set a password for TCP: %w", err)
	}
	// One cluster, one superuser: host, port and database may be anything.
	line := "*:*:*:" + pgpassEscape(srv.Info().User) + ":" + password + "\n"
	return wholefile.Write(path, []byte(line))
}

// ReadPassFile returns the password in a file that MakePassFile wrote, or "" if there is
// no file.
func ReadPassFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(b))
	return line[strings.LastIndexByte(line, ':')+1:], nil // ours has no colon in it
}

func setPassword(ctx context.Context, srv engines.Server, password string) error {
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	verifier, err := verifierFor(srv.Info(), password)
	if err != nil {
		return err
	}
	var sql string
	err = conn.QueryRow(ctx, "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", srv.Info().User, verifier).Scan(&sql)
	if err == nil {
		_, err = conn.Exec(ctx, sql)
	}
	return err
}

func randomPassword() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func pgpassEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(s)
}

// TCPURL returns the URL of a database through the TCP listener, with the password in it
// or, if that is empty, naming the password file. It is "" without a listener.
func (s *Server) TCPURL(database, password string) string {
	return TCPURL(s.run.Info, database, password, s.f.pgpass())
}

// TCPURL returns the URL of a database ("" = info.Database) at the TCP address of a
// server, with a password in it or, if that is empty, naming a password file. It is ""
// where there is no TCP address.
func TCPURL(info engines.Info, database, password, passfile string) string {
	if info.TCP == "" {
		return ""
	}
	if _, _, err := net.SplitHostPort(info.TCP); err != nil {
		return ""
	}
	if database == "" {
		database = info.Database
	}
	u := url.URL{Scheme: "postgresql", User: url.User(info.User), Host: info.TCP, Path: "/" + database}
	q := url.Values{"sslmode": {"disable"}}
	if password != "" {
		u.User = url.UserPassword(info.User, password)
	} else {
		q.Set("passfile", passfile)
	}
	u.RawQuery = engines.EncodeQuery(q)
	return u.String()
}
