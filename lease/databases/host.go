package databases

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Host is a running server on which databases are made. It is safe for concurrent use.
type Host interface {
	// Config returns the configuration of a pgx connection; "" is the database from which
	// others are made.
	Config(database string) (*pgx.ConnConfig, error)
	// Dial opens a stream on which a startup message may be sent.
	Dial(ctx context.Context) (net.Conn, error)
	// Env returns what leads clients to a database, DATABASE_URL included.
	Env(database string) []string
	// Describe names the server without its secrets.
	Describe() string
	// Close lets go of it.
	Close(ctx context.Context) error
}

// An Opener makes or finds the server. It is called again after the server was lost.
type Opener func(ctx context.Context) (Host, error)

// OnServer returns a Host that is a server of one of our engines, which Close closes. name
// is how to speak of it.
func OnServer(srv engines.Server, name string) Host { return onServer{srv, name} }

type onServer struct {
	srv  engines.Server
	name string
}

func (h onServer) Config(database string) (*pgx.ConnConfig, error) {
	return engines.ConnConfig(h.srv, database, "")
}
func (h onServer) Dial(ctx context.Context) (net.Conn, error) { return h.srv.Dial(ctx) }
func (h onServer) Describe() string                           { return h.name }
func (h onServer) Close(ctx context.Context) error            { return h.srv.Close(ctx) }

func (h onServer) Env(database string) []string {
	info := h.srv.Info()
	env := []string{"PGUSER=" + info.User, "PGDATABASE=" + database, "DATABASE_URL=" + info.URL(database)}
	if info.Socket != "" {
		env = append(env, "PGHOST="+info.Socket, "PGPORT="+strconv.Itoa(info.Port))
	} else if host, port, err := net.SplitHostPort(info.TCP); err == nil {
		env = append(env, "PGHOST="+host, "PGPORT="+port)
	}
	return env
}

// bindir is where the server's programs are, or "".
func (h onServer) bindir() string { return h.srv.Info().Bindir }

// AtURL returns an Opener of a server that somebody else runs. text is a URL; what it
// leaves out comes from PG* variables, as with libpq.
func AtURL(text string) (Opener, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the pool's url has to begin with postgresql://") // without the text: it may hold a password
	}
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("the pool's url: %w", err) // pgconn redacts the password
	}
	h := &atURL{u, cfg}
	return func(context.Context) (Host, error) { return h, nil }, nil
}

type atURL struct {
	url *url.URL
	cfg *pgx.ConnConfig
}

func (h *atURL) Config(database string) (*pgx.ConnConfig, error) {
	cfg := h.cfg.Copy()
	if database != "" {
		cfg.Database = database
	}
	return cfg, nil
}

func (h *atURL) Describe() string {
	return fmt.Sprintf("%s:%d", h.cfg.Host, h.cfg.Port)
}

func (h *atURL) Close(context.Context) error { return nil }

// Dial tries the hosts of the URL in turn, and asks for TLS where the URL does.
func (h *atURL) Dial(ctx context.Context) (net.Conn, error) {
	tries := append([]*pgconn.FallbackConfig{{Host: h.cfg.Host, Port: h.cfg.Port, TLSConfig: h.cfg.TLSConfig}}, h.cfg.Fallbacks...)
	var errs []error
	for _, try := range tries {
		network, address := pgconn.NetworkAddress(try.Host, try.Port)
		conn, err := h.cfg.DialFunc(ctx, network, address)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if try.TLSConfig != nil {
			if conn, err = encrypt(ctx, conn, try); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		return conn, nil
	}
	return nil, errors.Join(errs...)
}

func (h *atURL) Env(database string) []string {
	u := *h.url
	u.Path = "/" + database
	q := u.Query()
	q.Del("dbname")
	// The port may be that of our PGPORT, and the client's is another.
	if port := strconv.Itoa(int(h.cfg.Port)); u.Port() == "" && q.Get("port") == "" && !strings.Contains(u.Host+q.Get("host"), ",") {
		if u.Host == "" {
			q.Set("port", port)
		} else {
			u.Host = net.JoinHostPort(u.Hostname(), port)
		}
	}
	u.RawQuery = engines.EncodeQuery(q)
	env := []string{
		"PGHOST=" + h.cfg.Host, "PGPORT=" + strconv.Itoa(int(h.cfg.Port)), "PGUSER=" + h.cfg.User,
		"PGDATABASE=" + database, "DATABASE_URL=" + u.String(),
	}
	if h.cfg.Password != "" {
		env = append(env, "PGPASSWORD="+h.cfg.Password)
	}
	for _, name := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey"} {
		if v := q.Get(name); v != "" {
			env = append(env, "PG"+strings.ToUpper(name)+"="+v)
		}
	}
	return env
}

// urlIn finds DATABASE_URL.
func urlIn(env []string) string {
	for _, kv := range env {
		if u, ok := strings.CutPrefix(kv, "DATABASE_URL="); ok {
			return u
		}
	}
	return ""
}

var errNoTLS = errors.New("the server does not speak TLS")

// sslRequest is what asks for TLS.
func sslRequest() []byte { return (&wire.SSLRequest{}).AppendTo(nil) }
