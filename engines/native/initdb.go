package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
)

// defaultUser is the superuser's name in new clusters that ask for none.
const defaultUser = "postgres"

// initdbArgs returns initdb's arguments for a runtime, but the directory. Nothing is
// synced: the result is copied, or the cluster is new and has nothing to lose yet.
func (e *Engine) initdbArgs(rt Runtime, user string) []string {
	args := []string{"-U", user, "-E", "UTF8", "--locale=C", "-A", "trust"}
	if rt.Version.Num() >= 90300 {
		args = append(args, "-N")
	}
	if rt.Version.Num() >= 110000 {
		args = append(args, "--wal-segsize=1")
	}
	return append(args, e.cfg.InitdbArgs...)
}

// initdb makes a data directory at dir, which must not exist, as account a. When it
// fails, nothing is left there.
func (e *Engine) initdb(ctx context.Context, a account, rt Runtime, user, dir string) (err error) {
	if err := a.reach(dir, rt.Program("initdb")); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if err := a.give(dir); err != nil {
		return fmt.Errorf("%w: %w", errDenied, err)
	}
	e.progress(Progress{Phase: "initdb", Text: "PostgreSQL " + rt.Version.String()})
	out, err := program{
		path: rt.Program("initdb"),
		args: append([]string{"-D", dir}, e.initdbArgs(rt, user)...),
		env:  []string{"TZ=UTC"}, // goes into postgresql.conf, else initdb would search for the machine's
	}.output(ctx, a)
	if errors.Is(err, errDenied) {
		return err
	}
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("initdb (%s): %w\n%s", rt.Program("initdb"), err, strings.TrimSpace(lastLines(out, 20)))
	}
	if err := os.WriteFile(filepath.Join(dir, "pg_hba.conf"), []byte(hbaConf(rt.Version)), 0o600); err != nil {
		return err
	}
	return checkCluster(dir)
}

// hbaConf returns the pg_hba.conf of new clusters. The unix socket is in a directory that
// only the owner may enter, so it needs no password; TCP does.
func hbaConf(v Version) string {
	method := "scram-sha-256"
	if v.Num() < 100000 {
		method = "md5"
	}
	var b strings.Builder
	b.WriteString("# Written by pgx-dev. The unix socket is in a directory that only its owner may enter.\n")
	for _, db := range []string{"all", "replication"} {
		fmt.Fprintf(&b, "local %-12s all               trust\n", db)
		fmt.Fprintf(&b, "host  %-12s all  127.0.0.1/32 %s\n", db, method)
		fmt.Fprintf(&b, "host  %-12s all  ::1/128      %s\n", db, method)
	}
	return b.String()
}

// checkCluster reports what is missing from a data directory that should be complete:
// initdb writes PG_VERSION first and global/pg_control late, so both must be there.
func checkCluster(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err != nil {
		return fmt.Errorf("data directory is incomplete: %w", err)
	}
	if _, err := ReadControlData(dir); err != nil {
		return fmt.Errorf("data directory is incomplete: %w", err)
	}
	return nil
}

// userOf returns the superuser's name for a new cluster.
func userOf(spec engines.Spec) (string, error) {
	user := spec.User
	if user == "" {
		user = defaultUser
	}
	// NAMEDATALEN-1; initdb refuses names that begin with pg_, and cannot make an owner of
	// plpgsql of the others (execute_extension_script in extension.c).
	if len(user) > 63 || strings.HasPrefix(user, "pg_") || strings.ContainsAny(user, "\x00\n\r\"$'\\") {
		return "", fmt.Errorf("%q cannot be the superuser's name: at most 63 bytes, without quotes, $, backslashes and line breaks, not beginning with pg_", user)
	}
	return user, nil
}

// lastLines returns at most n lines from the end of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
