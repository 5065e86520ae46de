// Package console joins a proxy, its fleet of pools and its configuration into what the admin
// database shows and commands, and what the metrics endpoint tells.
package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
	"github.com/pgx-dev/pgx-dev/proxy/peers"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/reshard"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Config is what a Console joins.
type Config struct {
	Fleet *fleet.Fleet
	// Config returns the configuration in effect.
	Config func() *conf.Config
	// Peers returns what became of cancel requests for the clients of other proxies. Nil: there are
	// none.
	Peers func() []peers.Figure
	// Reload reads the configuration again; Apply takes one into effect. Nil: that cannot be
	// done.
	Reload func() error
	Apply  func(*conf.Config) error
	// Shutdown ends the proxy, in the background; with wait once all clients have gone by
	// themselves. Nil: that cannot be done.
	Shutdown func(wait bool)
	// Exchange gives each of two databases of the configuration the other one's name, and takes that into
	// effect, if check has no error, which is called while nobody else can change the configuration. Nil: that
	// cannot be done, and no database can be moved.
	Exchange func(a, b string, check func() error) error
	// FindDump finds a pg_dump for servers of a major version, where the configuration names none. Nil: the
	// one on PATH.
	FindDump func(ctx context.Context, major int) (string, error)
	// Log gets what becomes of databases that are moved. Nil discards it.
	Log *slog.Logger
}

// A Console is an admin.Proxy. It is safe for concurrent use.
type Console struct {
	cfg      Config
	started  time.Time
	averager *metrics.Averager
	instance string // NODE_ID, or made up
	tasks    *reshard.Tasks

	mu       sync.Mutex
	proxy    *proxy.Proxy
	disabled map[string]bool // databases that take no new clients

	suspended, maintenance bool // what was said last
}

// New makes a console. Attach gives it the proxy, which needs the console first. Close ends what it does in
// the background.
func New(cfg Config) *Console {
	c := &Console{cfg: cfg, instance: cmp.Or(os.Getenv("NODE_ID"), strings.ToLower(rand.Text()[:8])), started: time.Now(), averager: metrics.NewAverager(cfg.Config().General.StatsPeriod), disabled: map[string]bool{}}
	c.tasks = reshard.NewTasks(mover{c}, cfg.Log)
	return c
}

// Attach gives the console its proxy.
func (c *Console) Attach(p *proxy.Proxy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proxy = p
}

func (c *Console) attached() *proxy.Proxy {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proxy
}

// Run takes the averages' samples until ctx ends.
func (c *Console) Run(ctx context.Context) {
	tick := time.NewTicker(max(c.cfg.Config().General.StatsPeriod, time.Second))
	defer tick.Stop()
	for {
		c.averager.Sample(c.Metrics())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Lookup is the fleet's, but for databases that DISABLE was said of.
func (c *Console) Lookup(ctx context.Context, who proxy.Client) (*proxy.Database, error) {
	c.mu.Lock()
	disabled := c.disabled[who.Database]
	c.mu.Unlock()
	if disabled {
		return nil, wire.Errorf(wire.CodeCannotConnectNow, "the database %q takes no new clients", who.Database)
	}
	return c.cfg.Fleet.Lookup(ctx, who)
}

// IsConsole says that a client wants the admin database.
func (c *Console) IsConsole(_, database string) bool { return admin.Is(c.cfg.Config(), database) }

// Config returns the configuration in effect.
func (c *Console) Config() *conf.Config { return c.cfg.Config() }

// Averager returns the pools' averages.
func (c *Console) Averager() *metrics.Averager { return c.averager }

// Healthy reports whether no server is known to be down that nobody stands in for: with no
// pool yet, it is.
func (c *Console) Healthy() bool {
	list := c.cfg.Fleet.List()
	for i := range list {
		if healthy(&list[i]) {
			return true
		}
	}
	return len(list) == 0
}

// errNo reports what is not there.
func errNo(what, name string) *wire.Error {
	return &wire.Error{Code: wire.CodeUndefinedObject, Message: fmt.Sprintf("there is no %s %q", what, name)}
}

// Do carries a command out.
func (c *Console) Do(ctx context.Context, cmd admin.Command) error {
	arg := ""
	if len(cmd.Args) > 0 {
		arg = cmd.Args[0]
	}
	switch cmd.Verb {
	case "RELOAD":
		if c.cfg.Reload == nil {
			return admin.ErrUnsupported
		}
		return c.cfg.Reload()
	case "SET":
		if c.cfg.Apply == nil {
			return admin.ErrUnsupported
		}
		return c.cfg.Apply(cmd.Config)
	case "SHUTDOWN":
		if c.cfg.Shutdown == nil {
			return admin.ErrUnsupported
		}
		switch mode := strings.ToUpper(arg); mode {
		case "WAIT_FOR_CLIENTS":
			c.cfg.Shutdown(true)
		case "", "WAIT_FOR_SERVERS": // transactions end in any case
			c.cfg.Shutdown(false)
		default:
			return wire.Errorf(wire.CodeSyntaxError, "SHUTDOWN %s: want WAIT_FOR_CLIENTS or WAIT_FOR_SERVERS", mode)
		}
		return nil
	case "SUSPEND":
		c.setSuspended(true)
		c.cfg.Fleet.Hold()
		return nil
	case "MAINTENANCE":
		switch strings.ToUpper(arg) {
		case "ON":
			c.setMaintenance(true)
			c.cfg.Fleet.Hold()
		case "OFF":
			c.setMaintenance(false)
			c.cfg.Fleet.Release()
		default:
			return wire.Errorf(wire.CodeSyntaxError, "MAINTENANCE %s: want ON or OFF", arg)
		}
		return nil
	case "PAUSE":
		return c.each(arg, func(l *fleet.Listed) error { return l.Pool.Pause(ctx) })
	case "RESUME":
		if arg == "" {
			c.setSuspended(false)
			c.cfg.Fleet.Release()
		}
		return c.each(arg, func(l *fleet.Listed) error { l.Pool.Resume(); return nil })
	case "RECONNECT":
		return c.each(arg, func(l *fleet.Listed) error { l.Pool.Reconnect(); return nil })
	case "WAIT_CLOSE":
		return c.waitClose(ctx, arg)
	case "DISABLE", "ENABLE":
		if !c.known(arg) {
			return errNo("database", arg)
		}
		c.mu.Lock()
		c.disabled[arg] = cmd.Verb == "DISABLE"
		c.mu.Unlock()
		return nil
	case "KILL":
		// Who comes again waits for RESUME.
		if err := c.each(arg, func(l *fleet.Listed) error { l.Pool.Hold(); return nil }); err != nil {
			return err
		}
		c.attached().Kick(func(_ uint32, who proxy.Client) bool { return arg == "" || who.Database == arg })
		return c.each(arg, func(l *fleet.Listed) error { l.Pool.Reconnect(); return nil })
	case "KILL_CLIENT":
		id, err := strconv.ParseUint(arg, 10, 32)
		if err != nil || c.attached().Kick(func(i uint32, _ proxy.Client) bool { return i == uint32(id) }) == 0 {
			return errNo("client", arg)
		}
		return nil
	case "BAN", "UNBAN", "HEALTHCHECK":
		return c.servers(ctx, cmd.Verb, arg)
	case "RESET PREPARED":
		c.attached().ForgetStatements()
		return nil
	case "SETUP SCHEMA":
		return wire.Errorf(wire.CodeFeatureNotSupported, "SETUP SCHEMA %w here; \"pgx-dev proxy setup\" makes the functions", admin.ErrUnsupported)
	case "RESET QUERY_CACHE":
		c.cfg.Fleet.ForgetPlans()
		return nil
	}
	return admin.ErrUnsupported
}

func (c *Console) setSuspended(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspended = yes
}

func (c *Console) setMaintenance(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.maintenance = yes
}

// Probe logs in at a server and returns how long that took.
func (c *Console) Probe(ctx context.Context, url string) (time.Duration, error) {
	return fleet.Probe(ctx, c.cfg.Config(), url)
}

// known reports whether the configuration has a database, or, where it has none at all, any
// name may be one.
func (c *Console) known(database string) bool {
	all := c.cfg.Config().Databases
	return len(all) == 0 || slices.ContainsFunc(all, func(d conf.Database) bool { return d.Name == database })
}

// each does something to every pool of a database, or of all, at once.
func (c *Console) each(database string, do func(l *fleet.Listed) error) error {
	if database != "" && !c.known(database) {
		return errNo("database", database)
	}
	list := c.cfg.Fleet.List()
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i := range list {
		if (database == "" || list[i].Database == database) && !c.cfg.Fleet.Moving(list[i].Database) { // a cutover holds it, and lets it go
			wg.Go(func() { errs[i] = do(&list[i]) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// waitClose waits until the connections of now are gone.
func (c *Console) waitClose(ctx context.Context, database string) error {
	return c.each(database, func(l *fleet.Listed) error {
		old := l.Pool.Conns()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			old = slices.DeleteFunc(old, (*pool.Conn).Broken)
			if len(old) == 0 {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

// servers bans, unbans or checks the servers that a word names: a pool's id, an address, or,
// empty, all of them.
func (c *Console) servers(ctx context.Context, verb, which string) error {
	list := c.cfg.Fleet.List()
	found, done := false, false
	var errs []error
	for i := range list {
		l := &list[i]
		if which != "" && which != strconv.FormatInt(l.ID, 10) && !named(which, l.Server.Name) {
			continue
		}
		found = true
		switch verb {
		case "BAN":
			done = l.Ban("by an administrator") || done
		case "UNBAN":
			done = l.Unban() || done
		case "HEALTHCHECK":
			l.Suspect()
			if err := l.Pool.Check(ctx); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", l.Server.Name, err))
			}
			done = true
		}
	}
	switch {
	case !found && which != "" && c.configured(which):
		return &wire.Error{
			Code: wire.CodeObjectNotInPrerequisite, Message: fmt.Sprintf("no client has come yet for whom there would be a pool at %q", which),
			Hint: "A server counts for nothing until a client of its database has come.",
		}
	case !found && which != "":
		err := errNo("pool", which)
		err.Hint = "SHOW POOLS lists them: name one by its id, or its server as HOST:PORT, or as DIRECTORY:PORT on a unix socket."
		return err
	case found && !done:
		return errors.New("the server is the only one of its database: nothing could take its place")
	}
	return errors.Join(errs...)
}

// named says that somebody means the server of that name: HOST:PORT, or the path of a socket, which may
// be called DIRECTORY:PORT, too.
func named(which, name string) bool {
	if strings.EqualFold(which, name) {
		return true
	}
	host, port := hostPort(name)
	at := strings.LastIndexByte(which, ':')
	if at < 0 || which[at+1:] != strconv.Itoa(port) {
		return false
	}
	if strings.HasPrefix(name, "/") {
		return filepath.Clean(which[:at]) == filepath.Clean(host)
	}
	return strings.EqualFold(strings.Trim(which[:at], "[]"), host)
}

// configured says that the configuration has such a server.
func (c *Console) configured(which string) bool {
	return slices.ContainsFunc(c.cfg.Config().Databases, func(d conf.Database) bool { return named(which, fleet.Address(&d)) })
}

// socketName is what the name of a socket begins with, before its port (UNIXSOCK_PATH in pqcomm.h).
const socketName = ".s.PGSQL."

// hostPort takes a server's name apart: the host of a socket is its directory.
func hostPort(name string) (string, int) {
	if dir, file := filepath.Split(name); strings.HasPrefix(name, "/") && strings.HasPrefix(file, socketName) {
		if n, err := strconv.Atoi(strings.TrimPrefix(file, socketName)); err == nil {
			return filepath.Clean(dir), n
		}
	}
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return name, 0
	}
	n, _ := strconv.Atoi(port)
	return host, n
}
