// Package settings reads and changes a server's configuration with typed values: memory
// and times come with their units instead of as bare numbers.
package settings

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrUnknown reports that the server has no setting of that name.
var ErrUnknown = errors.New("no such setting")

// A Setting is a row of pg_settings.
type Setting struct {
	Name     string
	Text     string   // the value in Unit, as SHOW would not show it: "16384"
	Unit     string   // "8kB", "ms"; empty for none
	Kind     string   // "bool", "integer", "real", "string" or "enum"
	Category string   // "Resource Usage / Memory"
	Short    string   // what it is
	Context  string   // who may change it and when: "user", "sighup", "postmaster", ...
	Source   string   // where the value is from: "default", "configuration file", ...
	Min, Max string   // bounds of numbers, in Unit
	Enum     []string // the values an enum may have
	Boot     string   // the value if nothing is configured
	Reset    string   // the value after RESET
	File     string   // of the configuration file, if the value is from one
	Line     int
	// PendingRestart says that the configuration file has another value, which needs a
	// restart. Servers before 9.5 do not tell.
	PendingRestart bool
}

// Value returns the typed value: a number with a unit of memory is [Memory], with one of
// time [Duration]. A negative one, which has a meaning of its own such as "off" or
// "automatic", is [Int].
func (s Setting) Value() (Value, error) { return parse(s.Kind, s.Unit, s.Text) }

// NeedsRestart reports whether a change takes effect at a restart only.
func (s Setting) NeedsRestart() bool { return s.Context == "postmaster" }

const columns = `name, coalesce(setting, ''), coalesce(unit, ''), vartype, category, short_desc, context, source,
	coalesce(min_val, ''), coalesce(max_val, ''), coalesce(enumvals, '{}'), coalesce(boot_val, ''),
	coalesce(reset_val, ''), coalesce(sourcefile, ''), coalesce(sourceline, 0)`

// List returns all settings that the connection's user may see, by name.
func List(ctx context.Context, conn *pgx.Conn) ([]Setting, error) {
	list, err := query(ctx, conn, "ORDER BY lower(name)")
	if err != nil {
		return nil, fmt.Errorf("list settings: %w", err)
	}
	return list, nil
}

// Get returns one setting. The error wraps ErrUnknown if there is none of that name.
func Get(ctx context.Context, conn *pgx.Conn, name string) (Setting, error) {
	list, err := query(ctx, conn, "WHERE lower(name) = lower($1)", name)
	if err != nil {
		return Setting{}, fmt.Errorf("get setting %s: %w", name, err)
	}
	if len(list) == 0 {
		return Setting{}, fmt.Errorf("get setting %s: %w", name, ErrUnknown)
	}
	return list[0], nil
}

func query(ctx context.Context, conn *pgx.Conn, rest string, args ...any) ([]Setting, error) {
	var old bool
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int < 90500").Scan(&old); err != nil {
		return nil, err
	}
	pending := ", pending_restart"
	if old {
		pending = ", false"
	}
	rows, err := conn.Query(ctx, "SELECT "+columns+pending+" FROM pg_catalog.pg_settings "+rest, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Setting, err error) {
		err = row.Scan(&s.Name, &s.Text, &s.Unit, &s.Kind, &s.Category, &s.Short, &s.Context, &s.Source,
			&s.Min, &s.Max, &s.Enum, &s.Boot, &s.Reset, &s.File, &s.Line, &s.PendingRestart)
		return s, err
	})
}

// Set writes a value into postgresql.auto.conf (ALTER SYSTEM). It takes effect after
// Reload, or a restart (Setting.NeedsRestart). The server checks the value.
func Set(ctx context.Context, conn *pgx.Conn, name string, v Value) error {
	if names, ok := v.(Names); ok && (len(names) == 0 || slices.Contains(names, "")) {
		// It would be written as a list of one empty name, with which a server may not start
		// (flatten_set_variable_args in guc_funcs.c).
		return fmt.Errorf("set setting %s: an empty list or name cannot be written; use Reset", name)
	}
	return alter(ctx, conn, "set", name, " = "+v.literal())
}

// Reset takes a setting out of postgresql.auto.conf, so that the other configuration
// files count again. It takes effect like Set.
func Reset(ctx context.Context, conn *pgx.Conn, name string) error {
	return alter(ctx, conn, "reset", name, "")
}

// ResetAll empties postgresql.auto.conf.
func ResetAll(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "ALTER SYSTEM RESET ALL"); err != nil {
		return fmt.Errorf("reset all settings: %w", err)
	}
	return nil
}

// valid matches names of settings, with an extension's prefix or without.
var valid = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$`)

func alter(ctx context.Context, conn *pgx.Conn, verb, name, rest string) error {
	if !valid.MatchString(name) {
		return fmt.Errorf("%s setting %q: %w", verb, name, ErrUnknown)
	}
	// Names of two parts are not quoted as one. ALTER SYSTEM takes no parameters.
	quoted := `"` + strings.ReplaceAll(name, ".", `"."`) + `"`
	_, err := conn.Exec(ctx, "ALTER SYSTEM "+strings.ToUpper(verb)+" "+quoted+rest)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "42704" { // undefined_object
		return fmt.Errorf("%s setting %s: %w: %w", verb, name, ErrUnknown, err)
	}
	if err != nil {
		return fmt.Errorf("%s setting %s: %w", verb, name, err)
	}
	return nil
}

// Reload has the server read its configuration files again and returns when conn's session
// has done so. Other sessions follow before their next statement. A configuration file
// with errors is an error that names them; what was right before stays in force.
func Reload(ctx context.Context, conn *pgx.Conn) error {
	var before, now time.Time
	const loaded = "SELECT pg_catalog.pg_conf_load_time()"
	if err := conn.QueryRow(ctx, loaded).Scan(&before); err != nil {
		return fmt.Errorf("reload settings: %w", err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_reload_conf()"); err != nil {
		return fmt.Errorf("reload settings: %w", err)
	}
	// The postmaster passes the signal on; a backend looks at it between two commands.
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		if err := conn.QueryRow(ctx, loaded).Scan(&now); err != nil {
			return fmt.Errorf("reload settings: %w", err)
		}
		if now.After(before) {
			if err := fileErrors(ctx, conn); err != nil {
				return fmt.Errorf("reload settings: %w", err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("reload settings: %w", context.Cause(ctx))
		case <-time.After(2 * time.Millisecond):
		}
	}
	return errors.New("reload settings: the server did not do so within 5 s")
}

// fileErrors returns what is wrong in the configuration files, if the server can tell
// (9.5 and later). That a change needs a restart is no error.
func fileErrors(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT f.sourcefile, f.sourceline, coalesce(f.name, ''), f.error
		FROM pg_catalog.pg_file_settings f LEFT JOIN pg_catalog.pg_settings s ON s.name = f.name
		WHERE f.error IS NOT NULL AND s.context IS DISTINCT FROM 'postmaster' ORDER BY f.seqno`)
	if err != nil {
		return err
	}
	var errs []error
	var file, name, text string
	var line int
	_, err = pgx.ForEachRow(rows, []any{&file, &line, &name, &text}, func() error {
		errs = append(errs, fmt.Errorf("%s:%d: %s: %s", file, line, name, text))
		return nil
	})
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "42P01" { // undefined_table
		return nil
	}
	return errors.Join(append(errs, err)...)
}
