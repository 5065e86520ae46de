package proxy

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// startupParams makes a set of what a client's startup message says of parameters.
func (cfg *Config) startupParams(c Client) (out setting.Set, err error) {
	set := func(name, value string) {
		if !slices.ContainsFunc(cfg.IgnoreStartup, func(s string) bool { return strings.EqualFold(s, name) }) {
			out = out.With(name, effect.Config(value))
		}
	}
	application := ""
	for _, p := range c.Params {
		if p.Name != "options" || slices.Contains(cfg.IgnoreStartup, "options") {
			continue
		}
		options, err := pgserver.Options(p.Value)
		if err != nil {
			return out, err
		}
		for _, o := range options {
			set(o[0], o[1])
			if strings.EqualFold(o[0], "application_name") {
				application = o[1]
			}
		}
	}
	for _, p := range c.Params {
		switch {
		case p.Name == "user" || p.Name == "database" || p.Name == "replication" || p.Name == "options" || p.IsProtocolOption():
		default:
			set(p.Name, p.Value)
			if p.Name == "application_name" {
				application = p.Value
			}
		}
	}
	if cfg.NameHosts {
		out = out.With("application_name", effect.Config(named(application, c)))
	}
	return out, nil
}

// named is an application's name with the client's address, as PgBouncer writes it.
func named(application string, c Client) string {
	if application == "" {
		application = "app"
	}
	if c.Addr == nil || c.Addr.Network() != "tcp" {
		return application + " - unix"
	}
	return application + " - " + c.Addr.String()
}

// waitNotice says that a client has waited for long.
func waitNotice(database string) ([]byte, error) {
	return wire.Append(nil, &wire.NoticeResponse{Error: wire.Error{
		Severity: wire.SeverityNotice, Code: "00000",
		Message: "all server connections of database \"" + database + "\" are in use; the query waits for one",
	}})
}
