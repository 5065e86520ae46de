package commands

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/loop"
	"github.com/pgx-dev/pgx-dev/proxy/peers"
	"github.com/pgx-dev/pgx-dev/proxy/plugin"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/socket"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// proxyServeCmd serves.
type proxyServeCmd struct {
	proxyFlags
	detachFlag
	Cluster nameArg    `name:"cluster" placeholder:"NAME" help:"Without a configuration: the cluster of this project to stand in front of (default: main)."`
	Shards  int        `placeholder:"N" help:"Start N servers of the default engine and divide one database among them."`
	Demo    bool       `help:"With --shards: make the tables users and payments, empty, divided by users.id and payments.user_id."`
	Engine  string     `enum:",native,wasm" default:"" placeholder:"ENGINE" help:"With --shards: native or wasm (default: as in the config file)."`
	Replace bool       `help:"Take the sockets of the proxy that serves there now, which lets its clients end; no client is refused. Without one, start as ever."`
	Listen  listenFlag `placeholder:"WHERE" help:"unix[:DIR] or tcp[:[HOST:]PORT] (default: host and port of the configuration, else unix, in a private directory)."`
}

func (*proxyServeCmd) takesCommand() {}

// Help is the command's long help.
func (*proxyServeCmd) Help() string {
	return `Serves what the configuration names: [proxy] in the config file, --pgdog, --pgbouncer, or --url for each server. With none of them it stands in front of this project's own cluster, which it starts if need be. SIGHUP reads the files again. With "-- CMD…" the command is run with DATABASE_URL and PG* set, and its exit code is ours. See "pgx-dev help proxy".`
}

// Run serves until interrupted, or as long as the command behind "--" runs.
func (c *proxyServeCmd) Run(ctx context.Context, env *Env) error {
	if away, err := c.detaches(env); err != nil {
		return err
	} else if away {
		return detach(ctx, env)
	}
	p, err := c.load(env)
	if err != nil {
		return err
	}
	var sockets proxySockets
	if err := sockets.inherit(env); err != nil {
		return err
	}
	if sockets.manager && (c.Listen.network != "" || c.Shards != 0 || len(p.Databases) == 0) {
		return usageError("the service manager has given sockets: that needs a configuration that names servers, and no --listen")
	}
	if c.Shards != 0 {
		return c.serveShards(ctx, env, p, sockets)
	}
	if c.Demo || c.Engine != "" {
		return usageError("--demo and --engine go with --shards")
	}
	if len(p.Databases) == 0 {
		return c.serveCluster(ctx, env, p, sockets)
	}
	if c.Cluster != "" {
		return usageError("--cluster is for when no configuration names servers, and one does")
	}
	keys := &fleet.Keyring{}
	source, err := fleet.FromConfig(&p.Config, keys)
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	s := &proxyServing{listen: c.Listen, key: "proxy " + filepath.Join(p.Files...), source: source, sockets: sockets, keys: keys}
	s.config.Store(&p.Config)
	s.logs, s.files = p.General.TwoPhaseCommitWALDir, p.Files
	s.reload = func() (*config.Proxy, error) { return c.load(env) }
	if len(p.Users) > 0 {
		u := &p.Users[0]
		s.user, s.password = u.Name, u.Password
		s.database = cmp.Or(u.Database, p.Databases[0].Name)
	}
	if s.listen.network == "" && len(c.DatabaseURL) == 0 {
		s.listen = listenFlag{network: "tcp", address: net.JoinHostPort(p.General.Host, strconv.Itoa(int(p.General.Port)))}
		s.beside = true
	}
	s.listen.shared = p.PgBouncer.SoReuseport
	if c.Replace {
		if err := s.replaces(ctx, env); err != nil {
			return err
		}
	}
	s.login = fleet.NewAuth(s.config.Load, !s.listen.tcp() && !sockets.manager)
	s.login.Keys, s.auth = keys, s.login
	return s.run(ctx, env)
}

// serveCluster stands in front of a cluster of this project.
func (c *proxyServeCmd) serveCluster(ctx context.Context, env *Env, p *config.Proxy, sockets proxySockets) (err error) {
	o := opening{target: target{Name: c.Cluster}, label: "proxy"}
	if o.config, err = clusterConfig(env, o.target); err != nil {
		return err
	}
	srv, err := open(ctx, env, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close(context.WithoutCancel(ctx))) }()
	s := &proxyServing{
		listen: c.Listen, key: "proxy " + srv.Info().Dir, user: srv.Info().User, database: cmp.Or(o.config.Database, srv.Info().Database),
		source: clusterSource(srv, &p.Config), sockets: sockets,
	}
	if c.Replace {
		if err := s.replaces(ctx, env); err != nil {
			return err
		}
	}
	p.PgBouncer.AdminUsers = append(p.PgBouncer.AdminUsers, s.user)
	s.config.Store(&p.Config)
	if !s.listen.tcp() {
		s.auth = pgserver.Trust() // the socket is ours alone
	} else {
		passwords, err := s.madeAuth()
		if err != nil {
			return err
		}
		s.auth, s.password, s.passFile = passwords, *passwords.password.Load(), true
	}
	return s.run(ctx, env)
}

// madeAuth lets in who knows a password that was made for this proxy, or for the one that it
// replaces.
func (s *proxyServing) madeAuth() (*wireAuth, error) {
	a := &wireAuth{cfg: config.Wire{User: s.user}, made: s.madePassword()}
	return a, a.reload()
}

// clusterSource lets every user have every database of a cluster, whose own socket asks for no
// password either.
func clusterSource(srv *cluster.Server, c *conf.Config) fleet.Source {
	g := &c.General
	return func(user, database string) (fleet.Plan, error) {
		s, mode := fleet.Unnamed(c, pool.Backend{
			ID: user + "\x00" + database, Name: srv.Info().Dir, Dial: srv.Dial, Login: pool.Credentials{User: user, Database: database},
		}, srv.Info().MaxConns)
		return fleet.Plan{
			Mode: mode, Servers: []fleet.Server{s}, Replication: true, Tenant: c.MultiTenant.Column,
			SlowParse: g.LogMinDurationParse, Sample: g.LogQuerySampleLength, KeepNames: g.PreparedStatements == conf.PreparedDisabled,
			OwnListen: srv.Info().MaxConns == 1, Notifications: g.PubSubChannelSize,
			Parser: c.ParserLevel(database), Explain: g.ExpandedExplain,
		}, nil
	}
}

// proxyServing is a proxy that serves.
type proxyServing struct {
	listen                   listenFlag
	key                      string // stands for what is served
	beside                   bool   // listen at unix_socket_dir besides
	user, password, database string // of who is told the URL
	passFile                 bool   // write the password where libpq finds it
	source                   fleet.Source
	auth                     pgserver.Authenticator
	login                    *fleet.Auth    // nil: auth needs nothing of the fleet
	keys                     *fleet.Keyring // what clients prove
	log                      *proxyLog
	proxy                    atomic.Pointer[proxy.Proxy] // once it serves
	config                   atomic.Pointer[conf.Config]
	tls                      atomic.Pointer[tls.Config]
	reload                   func() (*config.Proxy, error) // nil: nothing to read again
	sockets                  proxySockets
	peers                    *peers.Forwarder // nil until run
	logs                     string           // the directory of the logs of two-phase commit, if there may be some
	files                    []string         // that the configuration was read from

	changing  sync.Mutex // held while the configuration changes
	exchanged []exchange // what is not in the files
}

func (s *proxyServing) run(ctx context.Context, env *Env) (err error) {
	defer func() { err = errors.Join(err, s.sockets.close()) }()
	cfg := s.config.Load()
	if s.log, err = newProxyLog(env, &cfg.General); err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	defer func() { err = errors.Join(err, s.log.close()) }()
	members := fleet.New(s.source, env.Log)
	if members.Loops, err = proxyLoops(&cfg.General); err != nil {
		return err
	}
	if members.Loops != nil {
		defer members.Loops.Close() // the last one to go
	}
	if s.login != nil {
		s.login.Fleet = members
	}
	plugins, err := plugin.FromConfig(ctx, cfg, env.Log)
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	defer func() { err = errors.Join(err, plugins.Close()) }()
	members.Adviser = fleet.Plugins(plugins)
	ctx, shutdown := context.WithCancel(ctx)
	defer shutdown()
	leave := make(chan struct{}, 1) // asks to end once all clients have gone
	s.peers = &peers.Forwarder{Peers: func() []peers.Peer { return peersOf(s.config.Load()) }, Log: env.Log}
	panel := s.console(env, members, func(wait bool) {
		if !wait {
			shutdown()
			return
		}
		select {
		case leave <- struct{}{}:
		default:
		}
	})
	defer func() {
		// Queries of clients that were cut off are being cancelled.
		polite, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(s.config.Load().General.ShutdownTerminationTimeout, 5*time.Second))
		defer cancel()
		members.Close(polite)
	}()
	defer panel.Close()
	g := &cfg.General
	clientTLS, err := fleet.ClientTLS(g)
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	pc := proxy.Config{
		Lookup: panel.Lookup, Console: admin.NewConsole(panel, readBuildInfo().Version), IsConsole: panel.IsConsole, Auth: s.auth, RequireTLS: g.TLSClientRequired,
		LoginTimeout: g.ClientLoginTimeout, IdleTimeout: g.ClientIdleTimeout,
		IdleInTransactionTimeout: g.ClientIdleInTransactionTimeout, QueryTimeout: g.QueryTimeout,
		TransactionTimeout: cfg.PgBouncer.TransactionTimeout, WaitNotify: cfg.PgBouncer.QueryWaitNotify,
		DropClients: g.ClientConnectionRecovery == conf.Drop, IgnoreStartup: cfg.PgBouncer.IgnoreStartupParameters, NameHosts: cfg.PgBouncer.ApplicationNameAddHost,
		MaxClients: cfg.PgBouncer.MaxClientConn, ClientLimits: func(c proxy.Client) (int, int) { return fleet.ClientLimits(s.config.Load(), c) },
		Queries: s.log.each(), SampleLength: g.LogQuerySampleLength,
		Log: env.Log, LogConnections: g.LogConnections, LogDisconnections: g.LogDisconnections,
		CancelElsewhere: s.cancelElsewhere(ctx), Loops: members.Loops,
	}
	if g.QuerySizeLimitAction == conf.SizeBlock {
		pc.MaxMessage = g.QuerySizeLimit
	} else {
		pc.LongQuery = g.QuerySizeLimit
	}
	pc.StatementTTL, pc.StatementJitter = g.PreparedStatementsTTL, g.PreparedStatementsTTLJitter
	if clientTLS != nil {
		s.tls.Store(clientTLS)
		// Certificates are swapped by a reload.
		pc.TLS = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tls.Load(), nil },
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return &s.tls.Load().Certificates[0], nil
			},
		}
	}
	if id := cfg.PgBouncer.PeerID; id > 0 {
		pc.FirstID, pc.IDs = peers.Range(id)
	}
	px, err := proxy.New(pc)
	if err != nil {
		return err
	}
	panel.Attach(px)
	px.Mirror(fleet.Mirrors(cfg))
	s.proxy.Store(px)
	endWatch, err := watchProxy(ctx, env, panel, cfg, &s.sockets)
	if err != nil {
		return err
	}
	defer endWatch()
	if err := s.open(); err != nil {
		return err
	}
	front := s.sockets.front
	front.user, front.database = s.user, s.database
	tcp := front.dir == ""
	if clientTLS != nil && tcp {
		front.sslmode = "prefer"
		if g.TLSClientRequired {
			front.sslmode = "require"
		}
	}
	shown := front.url(false)
	if tcp {
		front.password = s.password
	}
	if s.passFile {
		path, cleanup, err := front.passFile(s.key)
		if err != nil {
			return err
		}
		defer func() {
			if !s.sockets.withdraw() { // else the other one's clients read it
				cleanup()
			}
		}()
		shown = front.url(false) + "&passfile=" + url.QueryEscape(path)
	}
	if t := s.sockets.taken; t != nil {
		if err := t.Accept(); err != nil {
			return err
		}
		env.UI.Note("process %d has handed its sockets over, and lets its clients end", t.PID)
	}
	var recovering sync.WaitGroup
	defer recovering.Wait()
	defer shutdown()
	if s.logs != "" {
		recovering.Go(func() { members.Recover(ctx, s.logs) })
	}
	served := make(chan error, 1)
	go func() { served <- px.Serve(context.WithoutCancel(ctx), s.tuned(env)...) }()
	done := make(chan error, 1)
	var reloads <-chan struct{}
	if env.Command != nil {
		go func() { done <- front.run(ctx, env) }()
	} else {
		reloads = env.reloads()
		s.offers(px.Cancel)
		s.notify(env, s.sockets.notifier.Ready("serving at "+front.url(false)))
		err = env.ready(shown)
	}
	alive, endAlive := s.sockets.watchdog()
	defer endAlive()
	drain := time.Duration(-1) // no wait for clients
	for running := err == nil; running; {
		select {
		case <-ctx.Done():
			if env.Command != nil {
				err = <-done // it gets the signal too
			}
			running = false
		case err = <-done:
			running = false
		case err := <-served:
			served <- err
			running = false
		case pid := <-s.sockets.handed:
			drain, running = s.config.Load().General.ShutdownTimeout, false
			env.UI.Note("process %d has taken over; the clients of this one have %v to end", pid, drain)
		case <-leave:
			drain, running = 0, false
		case <-alive:
			px.Stats() // a proxy that hangs is not alive
			s.notify(env, s.sockets.notifier.Alive())
		case <-reloads:
			s.notify(env, s.sockets.notifier.Reloading())
			s.again(env, members)
			s.notify(env, s.sockets.notifier.Ready("serving at "+front.url(false)))
		}
	}
	s.end(ctx, env, px, drain, alive)
	return errors.Join(err, <-served)
}

// tuned returns the clients' listeners, which set the options of [tcp] on what they accept.
func (s *proxyServing) tuned(env *Env) []net.Listener {
	out := make([]net.Listener, len(s.sockets.clients))
	for i, l := range s.sockets.clients {
		out[i] = socket.Listen(l, func() socket.Options { return socket.Of(&s.config.Load().TCP) }, func(err error) {
			env.Log.Warn("set a socket's options", "error", err)
		})
	}
	return out
}

// proxyLoops starts what drives the connections; it is nil where goroutines do.
func proxyLoops(g *conf.General) (*loop.Group, error) {
	if g.Transport == conf.TransportGoroutine {
		return nil, nil
	}
	// The rest of the program needs a processor too.
	loops, err := loop.New(max(1, min(g.Workers, runtime.GOMAXPROCS(0)-1)))
	switch {
	case err == nil:
		return loops, nil
	case g.Transport == conf.TransportAuto && errors.Is(err, loop.ErrUnsupported):
		return nil, nil
	case errors.Is(err, loop.ErrUnsupported):
		return nil, &ExitError{Code: ExitUsage, Err: errors.New("general.transport: this system has no epoll; use auto")}
	}
	return nil, err
}

// again reads the configuration again. One with a mistake changes nothing.
func (s *proxyServing) again(env *Env, members *fleet.Fleet) {
	if s.reload == nil {
		env.UI.Warn("there is no file to read again")
		return
	}
	s.changing.Lock()
	err := s.readAgain(members)
	s.changing.Unlock()
	if err != nil {
		env.UI.Warn("the configuration stays as it is: %v", err)
		return
	}
	env.Log.Info("the configuration is read again")
	env.UI.Note("read the configuration again: %d pools", len(members.Pools()))
}

// readAgain reads the configuration again and takes it into effect.
func (s *proxyServing) readAgain(members *fleet.Fleet) error {
	if s.reload == nil {
		return errors.New("there is no file to read again")
	}
	p, err := s.reload()
	if err != nil {
		return err
	}
	return s.apply(s.exchangedAgain(&p.Config), members)
}

// apply takes a configuration into effect; after an error nothing has changed.
func (s *proxyServing) apply(cfg *conf.Config, members *fleet.Fleet) error {
	source, err := fleet.FromConfig(cfg, s.keys)
	if err != nil {
		return err
	}
	t, err := fleet.ClientTLS(&cfg.General)
	if err != nil {
		return err
	}
	if old := s.tls.Load(); (old == nil) != (t == nil) {
		return errors.New("turning TLS on or off needs a restart")
	}
	s.config.Store(cfg)
	s.tls.Store(t)
	s.log.again(&cfg.General)
	members.Reload(source)
	s.proxy.Load().Mirror(fleet.Mirrors(cfg))
	return nil
}
