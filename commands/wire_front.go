package commands

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"os/exec"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A wireFront is a listener with what clients need to use it.
type wireFront struct {
	*listening
	user, password, database string
	sslmode                  string // default: disable
}

// front listens; see listen.
func (f listenFlag) front(key string) (*wireFront, error) {
	ln, err := f.listen(key)
	if err != nil {
		return nil, err
	}
	return &wireFront{listening: ln}, nil
}

// url returns the URL, with the password only if that is wanted.
func (f *wireFront) url(withPassword bool) string {
	u := url.URL{Scheme: "postgresql", User: url.User(f.user), Path: "/" + f.database}
	if withPassword && f.password != "" {
		u.User = url.UserPassword(f.user, f.password)
	}
	q := url.Values{"sslmode": {cmp.Or(f.sslmode, "disable")}}
	if f.dir != "" {
		q.Set("host", f.dir)
		q.Set("port", strconv.Itoa(f.port))
	} else {
		u.Host = net.JoinHostPort(f.host(), strconv.Itoa(f.port))
	}
	u.RawQuery = engines.EncodeQuery(q)
	return u.String()
}

// environ is our environment with this server in it and no other: every other PG* variable
// is taken out.
func (f *wireFront) environ(env *Env) []string {
	var out []string
	for _, kv := range env.Environ("DATABASE_URL") {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "PGX_DEV_") {
			out = append(out, kv)
		}
	}
	out = append(
		out, "PGHOST="+f.host(), "PGPORT="+strconv.Itoa(f.port), "PGUSER="+f.user, "PGDATABASE="+f.database,
		"PGSSLMODE="+cmp.Or(f.sslmode, "disable"), "DATABASE_URL="+f.url(true),
	)
	if f.password != "" {
		out = append(out, "PGPASSWORD="+f.password)
	}
	return out
}

// run runs the command behind "--" with this server in its environment.
func (f *wireFront) run(ctx context.Context, env *Env) error {
	if len(env.Command) == 0 {
		return usageError("there is no command behind --")
	}
	vars := f.environ(env)
	path, err := lookPath(env.Command[0], vars)
	if err != nil {
		return err
	}
	cmd := exec.Command(path)
	cmd.Args = env.Command
	cmd.Env = vars
	return runForeground(ctx, env, cmd)
}
