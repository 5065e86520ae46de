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
)

// PassFile returns the path of a password file (libpq's pgpass format) for the server's
// TCP listener. It is made with mode 0600, and the superuser gets a random password, when
// it is not there.
func (s *Server) PassFile(ctx context.Context) (string, error) {
	path := s.f.pgpass()
	lock, err := dirlock.Exclusive(ctx, filepath.Join(s.f.control, "init.lock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Unlock() }()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	password := randomPassword()
	if err := s.setPassword(ctx, password); err != nil {
		return "", fmt.Errorf("set a password for TCP: %w", err)
	}
	// One cluster, one superuser: host, port and database may be anything.
	line := "*:*:*:" + pgpassEscape(s.run.Info.User) + ":" + password + "\n"
	return path, replaceFile(path, []byte(line))
}

// Password returns the password in PassFile's file, or "" if there is none.
func (s *Server) Password() (string, error) {
	b, err := os.ReadFile(s.f.pgpass())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(b))
	return line[strings.LastIndexByte(line, ':')+1:], nil // ours has no colon in it
}

func (s *Server) setPassword(ctx context.Context, password string) error {
	conn, err := engines.Connect(ctx, s, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	verifier, err := verifierFor(s.run.Info, password)
	if err != nil {
		return err
	}
	var sql string
	err = conn.QueryRow(ctx, "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", s.run.Info.User, verifier).Scan(&sql)
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
	info := s.run.Info
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
		q.Set("passfile", s.f.pgpass())
	}
	u.RawQuery = q.Encode()
	return u.String()
}
