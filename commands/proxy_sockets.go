package commands

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/systemd"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/proxy/handover"
)

// What the sockets of a proxy are for, by their names: those of any other name are for clients.
const (
	forClients = "clients"
	forMetrics = "metrics"
	forHealth  = "health"
)

// proxySockets are what a proxy listens on: sockets that another process gives it, or its own.
type proxySockets struct {
	env      *Env
	taken    *handover.Takeover // from another proxy; nil: none
	given    []handover.Socket  // by it, or by the service manager, and not used yet
	manager  bool               // they are the service manager's
	notifier systemd.Notifier

	clients []net.Listener // all that clients come by; the first is front's
	used    []handover.Socket
	front   *wireFront
	offer   *handover.Offer
	handed  chan int // the process that has taken over
}

// inherit takes the sockets of the service manager, if there is one.
func (p *proxySockets) inherit(env *Env) (err error) {
	p.env = env
	p.handed = make(chan int, 1)
	if p.notifier, err = systemd.NewNotifier(env.Getenv); err != nil {
		return err
	}
	sockets, err := systemd.Sockets(env.Getenv)
	if err != nil {
		return err
	}
	env.forget(systemd.Variables()...)
	for _, s := range sockets {
		p.given = append(p.given, handover.Socket{Listener: s.Listener, Name: s.Name})
	}
	p.manager = len(sockets) > 0
	return nil
}

// place is where a proxy that serves offers its sockets to the one that replaces it: found by
// its address, or, without a fixed one, by what it serves.
func (s *proxyServing) place() (string, error) {
	key := s.key
	switch address := s.listen.address; {
	case address == "":
		key += " " + s.listen.network
	case s.listen.tcp():
		if _, port, err := net.SplitHostPort(address); err == nil && port != "0" {
			key = "tcp " + address
		}
	default:
		dir, err := filepath.Abs(address)
		if err != nil {
			return "", err
		}
		key = "unix " + dir
	}
	dir, err := place.Run("/proxy " + key)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "handover"), nil
}

// replaces takes the sockets of the proxy that serves now; there need be none.
func (s *proxyServing) replaces(ctx context.Context, env *Env) error {
	switch {
	case env.Command != nil:
		return usageError("--replace leaves the server running, a command behind -- ends it: choose one")
	case s.sockets.manager:
		return usageError("--replace takes over sockets, and the service manager has given some: choose one")
	}
	path, err := s.place()
	if err != nil {
		return err
	}
	s.sockets.taken, err = handover.Take(ctx, path)
	if errors.Is(err, handover.ErrNobody) {
		env.UI.Note("there is no proxy to replace: this one starts as ever")
		return nil
	} else if err != nil {
		return err
	}
	s.sockets.given = s.sockets.taken.Sockets
	return nil
}

// note is what a proxy with a made password says to the one that replaces it: clients know it.
func (s *proxyServing) note() string {
	if s.passFile {
		return s.password
	}
	return ""
}

// madePassword is the password that clients know already, or "".
func (s *proxyServing) madePassword() string {
	if s.sockets.taken != nil {
		return s.sockets.taken.Note
	}
	return ""
}

// listenFor returns the socket for a purpose: one that was given, else a new one.
func (p *proxySockets) listenFor(name, address string) (net.Listener, error) {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	for i, g := range p.given {
		if g.Name != name {
			continue
		}
		// The service manager's are as it says; another proxy's may have been moved since.
		if a, ok := g.Addr().(*net.TCPAddr); p.manager || ok && a.Port == want.Port && (a.IP.Equal(want.IP) || a.IP.IsUnspecified() && want.IP.IsUnspecified() || a.IP.IsUnspecified() && want.IP == nil) {
			p.given = append(p.given[:i:i], p.given[i+1:]...)
			p.used = append(p.used, g)
			return g.Listener, nil
		}
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		p.used = append(p.used, handover.Socket{Listener: l, Name: name})
	}
	return l, err
}

// open listens for clients, on what was given or else as the flag and the configuration say.
// It closes what was given and is not needed.
func (s *proxyServing) open() error {
	p := &s.sockets
	for _, g := range p.given {
		if p.manager && (g.Name == forMetrics || g.Name == forHealth) || !p.manager && g.Name != forClients {
			if err := g.Close(); err != nil { // what it was for is no longer wanted
				return err
			}
			continue
		}
		l, err := inherited(g.Listener, g.Made)
		if err != nil {
			return err
		}
		if p.front == nil {
			p.front = &wireFront{listening: l}
		}
		p.clients = append(p.clients, g.Listener)
		p.used = append(p.used, handover.Socket{Listener: g.Listener, Name: forClients, Made: g.Made})
	}
	p.given = nil
	if p.front != nil {
		return nil
	}
	if p.manager {
		return errors.New("the service manager has given sockets for metrics or health only, and none for clients")
	}
	front, err := s.listen.front(s.key)
	if err != nil {
		return err
	}
	p.front = front
	p.clients = []net.Listener{front.Listener}
	p.used = append(p.used, handover.Socket{Listener: front.Listener, Name: forClients, Made: front.made})
	if s.beside {
		return s.openBeside()
	}
	return nil
}

// openBeside listens on a Unix socket, where the configuration wants one.
func (s *proxyServing) openBeside() error {
	p, cfg := &s.sockets, &s.config.Load().PgBouncer
	if cfg.UnixSocketDir == "" {
		return nil
	}
	mode, err := cfg.SocketMode()
	if err != nil {
		return err
	}
	if strings.HasPrefix(cfg.UnixSocketDir, "@") {
		return p.openAbstract(cfg.UnixSocketDir + "/.s.PGSQL." + strconv.Itoa(p.front.port))
	}
	l := &listening{port: p.front.port}
	if err := l.socket(filepath.Join(cfg.UnixSocketDir, ".s.PGSQL."+strconv.Itoa(p.front.port)), s.key); err != nil {
		return err
	}
	path := filepath.Join(l.dir, ".s.PGSQL."+strconv.Itoa(l.port))
	ln, err := engines.ListenUnix(path)
	if err != nil {
		l.removeDir()
		return err
	}
	if err := os.Chmod(path, os.FileMode(mode)); err != nil {
		return errors.Join(err, ln.Close())
	}
	p.clients = append(p.clients, ln)
	p.used = append(p.used, handover.Socket{Listener: ln, Name: forClients, Made: l.made})
	p.env.Log.Info("listening", "for", forClients, "socket", path)
	return nil
}

// openAbstract listens on a Unix socket without a file. Nobody's permissions guard it: who may come is
// decided by auth_type alone.
func (p *proxySockets) openAbstract(name string) error {
	if runtime.GOOS != "linux" {
		return &ExitError{Code: ExitUsage, Err: errors.New("pgbouncer.unix_socket_dir: only Linux has sockets without a file, as @ means them")}
	}
	ln, err := net.Listen("unix", name)
	if err != nil {
		return err
	}
	p.clients = append(p.clients, ln)
	p.used = append(p.used, handover.Socket{Listener: ln, Name: forClients})
	p.env.Log.Info("listening", "for", forClients, "socket", name)
	return nil
}

// inherited makes a listening of a listener that somebody else has made.
func inherited(l net.Listener, made string) (*listening, error) {
	out := &listening{Listener: l, made: made}
	switch a := l.Addr().(type) {
	case *net.TCPAddr:
		out.port = a.Port
	case *net.UnixAddr:
		m := socketName.FindStringSubmatch(filepath.Base(a.Name))
		if m == nil {
			return nil, fmt.Errorf("clients look for a socket called .s.PGSQL.PORT, and the one given is %s", a.Name)
		}
		out.dir = filepath.Dir(a.Name)
		port, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		out.port = port
	default:
		return nil, fmt.Errorf("a socket of kind %s was given", a.Network())
	}
	return out, nil
}

// offers lets another proxy take over from now on. Where that cannot be, all else still can.
func (s *proxyServing) offers(cancel func(pid uint32, key []byte) bool) {
	p := &s.sockets
	if p.env.Command != nil || p.manager {
		return
	}
	if err := s.offerAt(cancel); err != nil {
		p.env.Log.Warn("no other proxy can take over from this one", "error", err)
	}
}

func (s *proxyServing) offerAt(cancel func(pid uint32, key []byte) bool) error {
	p := &s.sockets
	path, err := s.place()
	if err != nil {
		return err
	}
	if p.taken == nil && handover.Offered(context.Background(), path) {
		p.env.Log.Info("another proxy of the same configuration is the one that --replace takes over from")
		return nil
	}
	p.offer, err = handover.NewOffer(handover.OfferConfig{
		Path: path, Sockets: p.used, Note: s.note(), Log: p.env.Log,
		Taken: func(pid int) { p.handed <- pid },
		Cancel: func(pid uint32, key []byte) {
			if !cancel(pid, key) {
				p.cancelElsewhere(pid, key)
			}
		},
	})
	return err
}

// cancelElsewhere passes a cancel request on to the proxy that this one has replaced.
func (p *proxySockets) cancelElsewhere(pid uint32, key []byte) {
	if p.taken != nil {
		p.taken.Cancel(pid, key)
	}
}

// withdraw ends the offer, and reports whether another proxy has the sockets.
func (p *proxySockets) withdraw() bool {
	if p.offer == nil {
		return false
	}
	if err := p.offer.Close(); err != nil {
		p.env.Log.Warn("end the offer of our sockets", "error", err)
	}
	return p.offer.Taken()
}

// close closes all that is left.
func (p *proxySockets) close() error {
	for _, g := range p.given {
		_ = g.Close()
	}
	gone := p.withdraw()
	var err error
	if p.front != nil {
		if gone {
			p.front.made = "" // it goes with the other one
		}
		err = p.front.Close()
		for _, l := range p.clients[1:] {
			if cerr := l.Close(); !errors.Is(cerr, net.ErrClosed) {
				err = errors.Join(err, cerr)
			}
		}
	}
	if p.taken != nil {
		_ = p.taken.Close()
	}
	return err
}
