package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// Version is what SHOW VERSION says; what tools read from it is PgBouncer's and PgDog's form.
const Version = "pgx-dev proxy"

// A Console answers the clients of the admin database. It is safe for concurrent use.
type Console struct {
	proxy   Proxy
	version string
}

// NewConsole returns a console. version is the program's.
func NewConsole(p Proxy, version string) *Console { return &Console{proxy: p, version: version} }

// Is reports whether a database is the admin database: by its name in [admin], or as PgBouncer's and
// PgDog's are called, unless that is one of the configuration's.
func Is(c *conf.Config, database string) bool {
	if database == c.Admin.Name {
		return true
	}
	return (database == Bouncer || database == conf.DefaultAdmin) && !slices.ContainsFunc(c.Databases, func(d conf.Database) bool { return d.Name == database })
}

// Allowed reports whether a user may use the admin database, and whether only to SHOW.
// Whether it is that user is somebody else's business.
func Allowed(c *conf.Config, user string) (ok, readOnly bool) {
	switch {
	case user == c.Admin.User, slices.Contains(c.PgBouncer.AdminUsers, user):
		return true, false
	case slices.Contains(c.PgBouncer.StatsUsers, user):
		return true, true
	}
	return false, false
}

// ServeQuery answers one statement.
func (c *Console) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	words, err := split(q.SQL)
	if err != nil {
		return wire.Errorf(wire.CodeSyntaxError, "%v", err)
	}
	if len(words) == 0 {
		return w.Complete("")
	}
	allowed, readOnly := Allowed(c.proxy.Config(), q.Session.User())
	if !allowed {
		return wire.Errorf(wire.CodeInsufficientPrivilege, "user %q may not use the admin database", q.Session.User())
	}
	switch strings.ToUpper(words[0]) {
	case "SHOW":
		return c.show(w, q, words[1:])
	case "SELECT":
		if len(words) == 2 && words[1] == "1" { // what pools and monitors ask
			return one(w, q, pgserver.Int4("?column?"), 1)
		}
		return wire.Errorf(wire.CodeFeatureNotSupported, "the admin database knows no queries; SHOW HELP lists what it knows")
	}
	if q.DescribeOnly {
		return pgserver.ErrDescribeOnly
	}
	set := strings.EqualFold(words[0], "SET")
	if set && len(words) > 1 && !conf.Settable(strings.ToLower(words[1])) && clientParameter(words[1]) {
		return w.Complete("SET")
	}
	if readOnly {
		return wire.Errorf(wire.CodeInsufficientPrivilege, "user %q may only SHOW", q.Session.User())
	}
	if set {
		return c.set(w, q, words[1:])
	}
	cmd, err := parse(words)
	if err != nil {
		return wire.Errorf(wire.CodeSyntaxError, "%v", err)
	}
	cmd.By = q.Session.User()
	if p, ok := c.proxy.(Prober); ok && cmd.Verb == "PROBE" {
		took, err := p.Probe(q.Context(), cmd.Args[0])
		if err != nil {
			return wire.Errorf(wire.CodeConnectionFailure, "PROBE: %w", err)
		}
		return one(w, q, pgserver.Float8("latency_ms"), millis(took))
	}
	if is, starts := moves(cmd.Verb); is {
		if m, ok := c.proxy.(Mover); ok {
			return c.move(w, q, m, cmd, starts)
		}
	}
	if err := c.do(q, cmd); err != nil {
		return err
	}
	return w.Complete(cmd.Verb)
}

// do has the proxy carry a command out.
func (c *Console) do(q *pgserver.Query, cmd Command) error {
	err := c.proxy.Do(q.Context(), cmd)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	if errors.Is(err, ErrUnsupported) {
		return wire.Errorf(wire.CodeFeatureNotSupported, "%s: %v", cmd.Verb, err)
	}
	return wire.Errorf(wire.CodeObjectNotInPrerequisite, "%s: %v", cmd.Verb, err)
}

// clientParameter reports whether a name is one that drivers set by themselves. That has no
// meaning here, and no harm.
func clientParameter(name string) bool {
	return slices.Contains([]string{
		"application_name", "client_encoding", "client_min_messages", "datestyle", "extra_float_digits", "intervalstyle",
		"search_path", "standard_conforming_strings", "statement_timeout", "timezone",
	}, strings.ToLower(name))
}

// set changes one key.
func (c *Console) set(w pgserver.ResponseWriter, q *pgserver.Query, words []string) error {
	if len(words) == 3 && (words[1] == "=" || strings.EqualFold(words[1], "to")) {
		words = []string{words[0], words[2]}
	}
	if len(words) != 2 {
		return wire.Errorf(wire.CodeSyntaxError, "the command is SET KEY = VALUE")
	}
	next := *c.proxy.Config()
	key := strings.ToLower(words[0])
	if err := next.Set(key, words[1]); err != nil {
		return wire.Errorf(wire.CodeInvalidParameterValue, "%v", err)
	}
	if err := next.Validate(); err != nil {
		return wire.Errorf(wire.CodeInvalidParameterValue, "%v", err)
	}
	if err := c.do(q, Command{Verb: "SET", Args: []string{key, words[1]}, Config: &next, By: q.Session.User()}); err != nil {
		return err
	}
	return w.Complete("SET")
}

// one answers by one value.
func one(w pgserver.ResponseWriter, q *pgserver.Query, col pgserver.Column, value any) error {
	if err := w.Columns(col); err != nil {
		return err
	}
	if q.DescribeOnly {
		return pgserver.ErrDescribeOnly
	}
	return w.Row(value)
}

// show answers SHOW.
func (c *Console) show(w pgserver.ResponseWriter, q *pgserver.Query, words []string) error {
	if len(words) == 0 {
		words = []string{"HELP"}
	}
	a := &answer{w: w, describe: q.DescribeOnly, config: c.proxy.Config(), proxy: c.proxy, version: c.version}
	for n := min(2, len(words)); n > 0; n-- {
		name := strings.ToUpper(strings.Join(words[:n], " "))
		list := shows()
		if q.Session.Database() == Bouncer {
			list = append(bouncerShows(), list...)
		}
		for _, s := range list {
			if s.name == name || slices.Contains(s.also, name) {
				a.columns = lower(words[n:])
				if len(a.columns) > 0 && !s.picks {
					return wire.Errorf(wire.CodeSyntaxError, "SHOW %s takes no more words", name)
				}
				return s.run(a)
			}
		}
	}
	if len(words) == 1 {
		for _, s := range a.config.Settings() {
			if strings.EqualFold(s.Key, words[0]) {
				return one(w, q, pgserver.Text(s.Key), s.Value)
			}
		}
	}
	return wire.Errorf(wire.CodeUndefinedObject, "there is nothing to show called %s; SHOW HELP lists what there is", fmt.Sprintf("%q", strings.Join(words, " ")))
}

func lower(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}
