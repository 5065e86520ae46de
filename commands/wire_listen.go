package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// A wireListen is --listen unix[:DIR] or --listen tcp[:[HOST:]PORT]. The zero value is a
// Unix socket in a private directory.
type wireListen struct{ network, address string }

// Decode reads the flag's value.
func (f *wireListen) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("WHERE", &text); err != nil {
		return err
	}
	parsed, err := parseWireListen(text)
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

func parseWireListen(text string) (wireListen, error) {
	network, address, given := strings.Cut(text, ":")
	switch {
	case network != "unix" && network != "tcp" || given && address == "":
		return wireListen{}, fmt.Errorf("%q is not unix, unix:DIR, tcp, tcp:PORT or tcp:HOST:PORT", text)
	case network == "unix":
		return wireListen{network, address}, nil
	case !given:
		return wireListen{network, "127.0.0.1:0"}, nil
	}
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return wireListen{}, fmt.Errorf("%q is not a port, nor a host and a port", strings.TrimPrefix(address, ":"))
	}
	return wireListen{network, net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)}, nil
}

func (f wireListen) tcp() bool { return f.network == "tcp" }

// A wireFront is a listener with what clients need to find it.
type wireFront struct {
	net.Listener
	user, password, database string
	sslmode                  string // default: disable
	dir                      string // of the Unix socket, else ""
	port                     int
	made                     string // a directory that goes with the listener
}

// open listens. key stands for what is served: the same key gives the same private
// directory.
func (f wireListen) open(key string) (*wireFront, error) {
	if f.tcp() {
		ln, err := net.Listen("tcp", f.address)
		if err != nil {
			return nil, err
		}
		return &wireFront{Listener: ln, port: ln.Addr().(*net.TCPAddr).Port}, nil
	}
	front := &wireFront{port: 5432} // DEF_PGPORT
	var err error
	if front.dir, front.port, err = f.socket(key, front); err != nil {
		return nil, err
	}
	front.Listener, err = engines.ListenUnix(filepath.Join(front.dir, ".s.PGSQL."+strconv.Itoa(front.port)))
	if err != nil {
		return nil, errors.Join(err, front.removeDir())
	}
	return front, nil
}

var wireSocketName = regexp.MustCompile(`^\.s\.PGSQL\.([0-9]{1,5})$`)

// socket returns the directory and the port number in the name of the socket.
func (f wireListen) socket(key string, front *wireFront) (dir string, port int, err error) {
	port = front.port
	if f.address == "" {
		dir, err = place.Run(key)
		front.made = dir
		return dir, port, err
	}
	if dir, err = filepath.Abs(f.address); err != nil {
		return "", 0, err
	}
	if m := wireSocketName.FindStringSubmatch(filepath.Base(dir)); m != nil {
		if port, err = strconv.Atoi(m[1]); err != nil {
			return "", 0, err
		}
		dir = filepath.Dir(dir)
	}
	if limit := place.MaxSocketDir(); len(dir) > limit {
		return "", 0, fmt.Errorf("listen in %s: its name has %d bytes, and sockets allow %d; choose a shorter one", dir, len(dir), limit)
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		front.made = dir
	} else if fi, serr := os.Stat(dir); serr != nil || !fi.IsDir() {
		return "", 0, fmt.Errorf("listen in %s: make the directory of the socket: %w", dir, err)
	}
	return dir, port, nil
}

// Close closes the listener and takes away the directory that was made for it.
func (f *wireFront) Close() error {
	err := f.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, f.removeDir())
}

func (f *wireFront) removeDir() error {
	if f.made != "" {
		_ = os.Remove(f.made) // it stays while somebody else uses it
	}
	return nil
}

// host returns where clients connect. A listener on all addresses is reached on loopback.
func (f *wireFront) host() string {
	if f.dir != "" {
		return f.dir
	}
	addr := f.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		return "127.0.0.1"
	}
	return addr.IP.String()
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
		if f.port != 5432 {
			q.Set("port", strconv.Itoa(f.port))
		}
	} else {
		u.Host = net.JoinHostPort(f.host(), strconv.Itoa(f.port))
	}
	u.RawQuery = q.Encode()
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
