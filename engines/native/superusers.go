package native

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
)

// Superusers returns the names of the roles in the data directory dir that are superusers
// and may log in, the one that initdb made first. No server may be running there: it asks
// a postgres in single-user mode, which needs no password and no pg_hba.conf, but recovers
// the directory if its last server crashed.
func (e *Engine) Superusers(ctx context.Context, dir string) ([]string, error) {
	d, err := e.openDirectory(engines.Spec{Dir: dir, MustExist: true})
	if err != nil {
		return nil, fmt.Errorf("find superusers of %s: %w", dir, err)
	}
	names, err := e.superusersOf(ctx, d)
	if err = errors.Join(err, d.close()); err != nil {
		return nil, fmt.Errorf("find superusers of %s: %w", dir, err)
	}
	return names, nil
}

func (e *Engine) superusersOf(ctx context.Context, d *directory) ([]string, error) {
	rt, release, err := e.prepare(ctx, d, engines.Spec{Dir: d.path, MustExist: true})
	if err != nil {
		return nil, err
	}
	defer release()
	if err := e.awaitOrphan(ctx, d); err != nil {
		return nil, err
	}
	var names []string
	err = e.withAccount(d.path, func(a account) error {
		if err := errors.Join(a.reach(d.path, rt.Program("postgres")), a.give(d.path)); err != nil {
			return err
		}
		names, err = singleUser(ctx, a, rt, d.path)
		return err
	})
	return names, err
}

// singleUserValue matches how single-user mode prints a column (debugtup in printtup.c).
var singleUserValue = regexp.MustCompile(`(?m)^\t ?\d+: name = "([0-9a-f]+)"`)

// singleUser asks for the names in hexadecimal, since they may hold quotes and newlines.
func singleUser(ctx context.Context, a account, rt Runtime, dir string) ([]string, error) {
	out, err := program{
		path: rt.Program("postgres"),
		args: []string{"--single", "-D", dir, "-c", "lc_messages=C", "-c", "log_destination=stderr", "template1"},
		stdin: "SELECT encode(convert_to(rolname::text, 'UTF8'), 'hex') AS name FROM pg_catalog.pg_authid " +
			"WHERE rolsuper AND rolcanlogin ORDER BY oid\n",
	}.output(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("single-user mode: %w\n%s", err, indent(logTail(out)))
	}
	var names []string
	for _, m := range singleUserValue.FindAllStringSubmatch(out, -1) {
		name, err := hex.DecodeString(m[1])
		if err != nil {
			return nil, err
		}
		names = append(names, string(name))
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("single-user mode: no superuser in its answer\n%s", indent(logTail(strings.TrimSpace(out))))
	}
	return names, nil
}
