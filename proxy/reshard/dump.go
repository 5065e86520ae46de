package reshard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire/replication"
)

// A Program says which pg_dump to use. The zero value is the one on PATH.
type Program struct {
	Path string
	// Find finds one for servers of a major version, if Path is empty.
	Find func(ctx context.Context, major int) (string, error)
}

func (p *Program) path(ctx context.Context, server *pgconn.PgConn) (string, error) {
	if p.Path != "" || p.Find == nil {
		return cmp.Or(p.Path, "pg_dump"), nil
	}
	version, err := replication.ParseVersion(server.ParameterStatus("server_version"))
	if err != nil {
		return "", err
	}
	return p.Find(ctx, version/10000)
}

// An entry is one object of a dump: what pg_dump writes below one of its headings.
type entry struct {
	kind   string // TABLE, FK CONSTRAINT, …
	schema string // empty: none
	name   string
	sql    string
}

// heading is what pg_dump writes above each object in a plain text dump (_printTocEntry in
// pg_backup_archiver.c).
var heading = regexp.MustCompile(`(?m)^--\n-- Name: (.*); Type: ([A-Z ]+); Schema: (.*); Owner:.*\n--\n`)

// noise are lines between the objects that are no part of them: settings that hold as they are, and what
// newer versions of psql are to be told.
var noise = regexp.MustCompile(`(?m)^(SET default_table_access_method = heap;|SET default_tablespace = '';|\\(un)?restrict .*|--\n-- PostgreSQL database dump complete\n--)\n`)

// dump has pg_dump write a server's schema.
func dump(ctx context.Context, s *Server, program string) ([]entry, error) {
	c := s.Config
	cmd := exec.CommandContext(ctx, program, "--schema-only", "--no-publications", "--no-subscriptions", "--no-tablespaces",
		"--encoding=UTF8", "--exclude-schema="+Schema, "--no-password")
	cmd.Env = append(os.Environ(), "PGHOST="+c.Host, "PGPORT="+strconv.Itoa(int(c.Port)), "PGUSER="+c.User, "PGDATABASE="+c.Database, "PGPASSWORD="+c.Password, "PGAPPNAME=pgx-dev reshard", "LC_ALL=C")
	cmd.Env = append(cmd.Env, s.Env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(said.String())
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("there is no %s: install PostgreSQL's client programs, or name one by replication.pg_dump_path", program)
		case strings.Contains(text, "server version mismatch"):
			return nil, fmt.Errorf("%s is older than the server %s; name one of its version by replication.pg_dump_path: %s", program, s, text)
		}
		return nil, fmt.Errorf("%s of %s: %w: %s", program, s, err, text)
	}
	return entries(out.String())
}

// entries takes a dump apart.
func entries(text string) ([]entry, error) {
	at := heading.FindAllStringSubmatchIndex(text, -1)
	var out []entry
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		e := entry{name: text[m[2]:m[3]], kind: text[m[4]:m[5]], schema: text[m[6]:m[7]], sql: strings.TrimSpace(noise.ReplaceAllString(text[m[1]:end]+"\n", ""))}
		if e.schema == "-" {
			e.schema = ""
		}
		if e.sql != "" {
			out = append(out, e)
		}
	}
	if len(out) == 0 && strings.Contains(text, "CREATE ") {
		return nil, errors.New("what pg_dump wrote is not understood: it has no headings")
	}
	return out, nil
}
