package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// Start implements engines.Engine. The postmaster is a child of this process and ends with
// it, also when it is killed. ctx bounds everything until the server is ready; recovery
// after a crash may take long.
func (e *Engine) Start(ctx context.Context, spec engines.Spec) (engines.Server, error) {
	name := spec.Dir
	if name == "" {
		name = "(temporary)"
	}
	srv, err := e.start(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("start cluster %s: %w", name, err)
	}
	return srv, nil
}

func (e *Engine) start(ctx context.Context, spec engines.Spec) (*server, error) {
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	d, err := e.openDirectory(spec)
	if err != nil {
		return nil, err
	}
	rt, release, err := e.prepare(ctx, d, spec)
	if err != nil {
		return nil, errors.Join(err, d.undo())
	}
	srv, err := e.launch(ctx, d, rt, spec)
	if err != nil {
		release()
		return nil, errors.Join(err, d.undo())
	}
	srv.release = release
	return srv, nil
}

// launch starts the postmaster in a directory that is locked and whole.
func (e *Engine) launch(ctx context.Context, d *directory, rt Runtime, spec engines.Spec) (srv *server, err error) {
	if err := e.awaitOrphan(ctx, d); err != nil {
		return nil, err
	}
	err = e.withAccount(d.path, func(a account) error {
		if err := a.reach(d.path, rt.Program("postgres")); err != nil {
			return err
		}
		if err := a.give(d.path); err != nil {
			return fmt.Errorf("%w: %w", errDenied, err)
		}
		l := &launcher{e: e, d: d, rt: rt, spec: spec, account: a}
		srv, err = l.run(ctx)
		return err
	})
	return srv, err
}

// awaitOrphan refuses a directory in which a server runs that is not ours. One that this
// engine started for a process that was killed meanwhile is on its way out, and is waited
// for.
func (e *Engine) awaitOrphan(ctx context.Context, d *directory) error {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		pid, err := d.clearStale()
		if err != nil || pid == 0 {
			return err
		}
		// A killed process may not have come to recording it.
		if d.recorded() != pid && !startedByUs(pid, d.path) {
			return fmt.Errorf("%w (postmaster %d, not started by pgx-dev)", engines.ErrLocked, pid)
		}
		if err := endOrphan(pid, time.Since(began)); err != nil {
			return fmt.Errorf("%w (postmaster %d, left by a killed process): %w", engines.ErrLocked, pid, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// recorded returns the id of the postmaster that was last started here, 0 if none is known.
func (d *directory) recorded() int {
	text, err := os.ReadFile(d.ownerFile())
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(string(text))
	return pid
}

// record notes in the lock file which postmaster runs under the lock.
func (d *directory) record(pid int) error {
	return os.WriteFile(d.ownerFile(), []byte(strconv.Itoa(pid)), 0o600)
}

// A launcher makes the attempts that a start may need.
type launcher struct {
	e       *Engine
	d       *directory
	rt      Runtime
	spec    engines.Spec
	account account

	socketDir  string
	tcp        netip.AddrPort // zero without TCP
	superusers []string       // from single-user mode, if the usual names did not work
	fresh      string         // the cache entry that the directory is an unused copy of
}

const (
	// memoryPatience is how long the processes of a killed postmaster may take to vanish.
	memoryPatience = 10 * time.Second
	// portAttempts is how many TCP ports are tried.
	portAttempts = 200
)

// run starts postgres, again where what is in the way goes away by itself: a TCP port that
// is taken, and shared memory that a killed postmaster's last processes still use.
func (l *launcher) run(ctx context.Context) (*server, error) {
	if l.spec.TCP != "" {
		var err error
		if l.tcp, err = parseTCP(l.spec.TCP); err != nil {
			return nil, err
		}
		if l.tcp.Port() == 0 {
			l.tcp = netip.AddrPortFrom(l.tcp.Addr(), defaultPort)
		}
	}
	l.fresh = l.d.takeFresh(l.rt, l.spec)
	began, ports := time.Now(), 1
	for {
		l.skipTaken(&ports)
		srv, err := l.once(ctx)
		var refused *refusedError
		if errors.As(err, &refused) && l.superusers == nil {
			if l.superusers, err = singleUser(ctx, l.account, l.rt, l.d.path); err != nil {
				return nil, errors.Join(refused, err)
			}
			continue
		}
		var failure *startFailure
		if err == nil || !errors.As(err, &failure) || ctx.Err() != nil {
			return srv, err
		}
		switch {
		case l.tcp.IsValid() && failure.portTaken() && ports < portAttempts:
			l.nextPort(&ports)
		case failure.memoryHeld() && time.Since(began) < memoryPatience:
			if waited := time.Since(began); waited > 200*time.Millisecond {
				endChildren(l.d.path, waited)
			}
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(50 * time.Millisecond):
			}
		default:
			return nil, err
		}
	}
}

func (l *launcher) nextPort(ports *int) {
	port := l.tcp.Port() + 1
	if port == 0 {
		port = 1024
	}
	l.tcp = netip.AddrPortFrom(l.tcp.Addr(), port)
	*ports++
}

// skipTaken passes over ports that are visibly taken, which is cheaper than to have
// postgres find out. That one is free here proves nothing: postgres binds it.
func (l *launcher) skipTaken(ports *int) {
	for l.tcp.IsValid() && *ports < portAttempts {
		conn, err := net.DialTimeout("tcp", l.tcp.String(), 200*time.Millisecond)
		if err != nil {
			return
		}
		_ = conn.Close()
		l.nextPort(ports)
	}
}

// once makes one attempt.
func (l *launcher) once(ctx context.Context) (_ *server, err error) {
	// A failed attempt takes it away again.
	if l.socketDir, err = l.account.socketDir(l.d.path); err != nil {
		return nil, err
	}
	port, listen := defaultPort, ""
	if l.tcp.IsValid() {
		port, listen = int(l.tcp.Port()), l.tcp.Addr().String()
	}
	socket := socketPath(l.socketDir, port)
	if most := place.MaxSocketDir() + len("/.s.PGSQL.5432"); len(socket) > most {
		return nil, fmt.Errorf("the socket's name %s has %d bytes and the system allows %d; set XDG_RUNTIME_DIR to a shorter directory", socket, len(socket), most)
	}
	if err := clearSockets(l.socketDir, port); err != nil {
		return nil, err
	}
	logFile := l.d.logFile()
	log, begin, err := openLog(logFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	args := postgresArgs(l.rt.Version, l.d.path, l.socketDir, port, listen, l.spec)
	discard := l.spec.Discard || l.d.temp != ""
	p, err := l.e.spawn(l.account, discard, l.rt.Program("postgres"), args, log)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", l.rt.Program("postgres"), err)
	}
	defer func() {
		if err != nil {
			p.stop(ctx, discard)
			removeSockets(l.socketDir, port)
		}
	}()
	if err := l.d.record(p.cmd.Process.Pid); err != nil {
		return nil, err
	}
	srv := newServer(l, p, begin)
	if srv.info.TCP = ""; l.tcp.IsValid() {
		srv.info.TCP = l.tcp.String()
	}
	srv.info.Socket, srv.info.Port = l.socketDir, port
	err = nil
	if l.rt.Version.Num() >= 100000 {
		err = p.ready(ctx, l.d.path)
	}
	teach := false
	if err == nil && (l.fresh == "" || !srv.known(l.fresh)) {
		teach = l.fresh != ""
		err = srv.confirm(ctx)
		if isHangup(err) {
			// It may be ending: recovery that does not reach its target ends a server that
			// was ready already. Then its log knows why.
			select {
			case <-p.done:
				err = errEnded
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	}
	if errors.Is(err, errEnded) {
		return nil, &startFailure{wait: p.err, log: readLog(logFile, begin), file: logFile}
	}
	if err != nil {
		return nil, err
	}
	if teach {
		if err := srv.teach(l.fresh); err != nil {
			l.e.log.Debug("keep what a new cluster answers", "error", err) // the next one is asked too
		}
	}
	if l.superusers != nil {
		// Next time it is known.
		if err := os.WriteFile(filepath.Join(l.d.control, "superuser"), []byte(srv.info.User), 0o600); err != nil {
			return nil, err
		}
	}
	go srv.watch()
	return srv, nil
}

// socketDir makes the directory for the sockets of the data directory dir. Another user's
// is in that user's own place.
func (a account) socketDir(dir string) (string, error) {
	if !a.own {
		return place.Run(dir)
	}
	// Not below the caller's own directory, which the user may not enter. os.Root keeps a
	// link that the user put there from leading root elsewhere.
	base := "/tmp/pgx-dev-" + strconv.Itoa(a.uid)
	for _, d := range []string{base, filepath.Join(base, place.Key(dir))} {
		parent, err := os.OpenRoot(filepath.Dir(d))
		if err != nil {
			return "", err
		}
		err = a.privateDir(parent, filepath.Base(d))
		if cerr := parent.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return "", fmt.Errorf("make socket directory %s: %w", d, err)
		}
	}
	return filepath.Join(base, place.Key(dir)), nil
}

// privateDir makes name in parent a directory with mode 0700 of the account's.
func (a account) privateDir(parent *os.Root, name string) error {
	err := parent.Mkdir(name, 0o700)
	if err == nil {
		return parent.Lchown(name, a.uid, a.gid)
	}
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	fi, err := parent.Lstat(name)
	if err != nil {
		return err
	}
	if uid, _, ok := statOwner(fi); !fi.IsDir() || ok && uid != a.uid || fi.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("there is something else (%s)", fi.Mode())
	}
	return nil
}
