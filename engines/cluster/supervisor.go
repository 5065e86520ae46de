package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wholefile"
)

// stopGrace bounds the polite part of a stop; after it the server recovers from its
// write-ahead log at the next start.
const stopGrace = 30 * time.Second

// Supervise runs a supervisor: it reads its job from in, owns the server, and returns when
// that has ended. Manager.Command must lead here, with the process's standard input and
// output; standard error is the supervisor's log. The end of ctx stops the server.
func (m *Manager) Supervise(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the supervisor's job from standard input: %w", err)
	}
	var j job
	if err := json.Unmarshal(line, &j); err != nil {
		return fmt.Errorf("read the supervisor's job: %w", err)
	}
	s := &supervisor{
		m: m, job: j, f: filesOf(j.Spec.Dir), log: m.log().With("component", "supervisor"),
		pinned: j.Pinned, users: map[*controlConn]*User{}, leaving: map[*controlConn]bool{},
		changed: make(chan struct{}, 1), claimed: make(chan struct{}), idleLimit: make(chan time.Duration, 1), stop: make(chan stopRequest),
	}
	starterGone := make(chan struct{})
	go func() { // ends with in
		_, _ = io.Copy(io.Discard, lines)
		close(starterGone)
	}()
	if err := s.start(ctx, starterGone); err != nil {
		s.log.Error("start", "err", err)
		_ = json.NewEncoder(out).Encode(reportError(err))
		return err
	}
	// The starter may have died this instant: then the report goes nowhere, nobody
	// attaches, and the loop stops the server.
	_ = json.NewEncoder(out).Encode(report{Running: &s.run})
	return s.serve(ctx, starterGone)
}

type stopRequest struct {
	why   string
	force bool // see StopOptions.Kill
	done  chan<- struct{}
}

// A supervisor owns one server. Its loop (serve) alone decides about the end.
type supervisor struct {
	m   *Manager
	job job
	f   files
	log *slog.Logger

	lock     *dirlock.Lock // supervisor.lock
	srv      engines.Server
	front    *front // where the engine has no socket itself
	run      running
	listener net.Listener

	changed   chan struct{}      // a user came or went, or the pin did
	idleLimit chan time.Duration // the newest limit, for watchIdle
	claimed   chan struct{}      // closed when a temporary cluster got its user
	stop      chan stopRequest   // somebody who holds trans.lock wants the end
	force     bool               // by whatever means; the loop's own

	asking    sync.WaitGroup // what waits for trans.lock
	endAsking context.CancelFunc

	mu      sync.Mutex
	users   map[*controlConn]*User
	leaving map[*controlConn]bool // released last, waiting for the stop
	pinned  bool
	idle    bool          // no client connection for limit
	limit   time.Duration // the newest one
}

func (s *supervisor) start(ctx context.Context, starterGone <-chan struct{}) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-starterGone:
			cancel(errors.New("the process that asked for the server has ended"))
		case <-ctx.Done():
		}
	}()
	s.lock, err = dirlock.Exclusive(ctx, s.f.supervisor())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.lock.Unlock()
		}
	}()
	engine, err := s.m.NewEngine(s.job.Engine, s.job.EngineConfig, s.log)
	if err != nil {
		return err
	}
	s.srv, err = engine.Start(ctx, s.job.Spec)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.closeServer()
			_ = os.Remove(s.f.run())
		}
	}()
	runDir, err := place.Run(s.f.dir)
	if err != nil {
		return err
	}
	info := s.srv.Info()
	if info.Socket == "" {
		if s.front, info.TCP, err = serveFront(s.srv, runDir, s.job.Spec.TCP, s.log); err != nil {
			return err
		}
		info.Socket, info.Port = runDir, frontPort
	}
	socket := filepath.Join(runDir, "ctl")
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.listener, err = net.Listen("unix", socket); err != nil {
		return err
	}
	if err = os.Chmod(socket, 0o600); err != nil {
		return err
	}
	s.run = running{
		PID: os.Getpid(), Socket: socket, Since: time.Now(), Engine: s.job.Engine,
		Spec: s.job.Spec, Info: info, Destroy: s.job.Destroy,
	}
	if err = wholefile.WriteJSON(s.f.run(), s.run); err != nil {
		_ = s.listener.Close()
	}
	return err
}

// serve is the supervisor's loop.
func (s *supervisor) serve(ctx context.Context, starterGone <-chan struct{}) error {
	s.log.Info("ready", "engine", s.run.Engine, "version", s.run.Info.Version, "dir", s.f.dir, "pid", s.run.Info.PID)
	bg, endBackground := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait() // a spare in the making is finished after all else
	defer endBackground()
	s.setIdleLimit(s.job.Idle) // before somebody can ask for another
	background.Go(s.accept)
	background.Go(func() {
		select {
		case <-s.claimed:
		case <-bg.Done():
		}
		if s.taken() { // also when it was for an instant only
			s.m.prepareSpare(ctx, s.job, s.log)
		}
	})
	background.Go(func() { s.watchIdle(bg, s.idleLimit) })
	background.Go(place.SweepRuns)

	// trans.lock is waited for in the background, once at a time, when nobody needs the
	// server any more; its holder may meanwhile attach, or ask for a stop.
	trans := make(chan *dirlock.Lock)
	removed := make(chan struct{})
	asking := false
	askCtx, endAsking := context.WithCancel(bg)
	s.endAsking = endAsking
	for {
		select {
		case <-s.srv.Done():
			err := s.srv.Err()
			s.log.Error("the server ended", "err", err)
			text := "the server ended"
			if err != nil {
				text = err.Error()
			}
			l, lockErr := dirlock.TryExclusive(s.f.trans())
			s.end(Ended{Err: text}, lockErr == nil)
			_ = l.Unlock()
			return err
		case <-ctx.Done():
			// Whoever holds trans.lock may be waiting for our end: do not wait for it.
			l, err := dirlock.TryExclusive(s.f.trans())
			s.end(Ended{Why: "terminated"}, err == nil)
			_ = l.Unlock()
			return nil
		case r := <-s.stop:
			s.force = r.force
			s.end(Ended{Why: r.why}, true)
			close(r.done)
			return nil
		case <-starterGone:
			starterGone = nil
			s.kick() // perhaps it died before it attached
		case <-s.changed:
			if asking || starterGone != nil || s.needed() {
				continue
			}
			asking = true
			s.asking.Go(func() { s.takeTrans(askCtx, trans, removed) })
		case <-removed:
			asking = false
			if s.needed() {
				s.stayAfterAll()
				continue
			}
			s.end(Ended{Why: s.reason()}, false)
			return nil
		case l := <-trans:
			asking = false
			if l == nil {
				continue
			}
			if s.needed() {
				s.stayAfterAll()
				_ = l.Unlock()
				continue
			}
			s.end(Ended{Why: s.reason()}, true)
			_ = l.Unlock()
			return nil
		}
	}
}

// takeTrans gets trans.lock for the loop, or tells it that somebody has removed the control
// directory by hand, so that there is none to wait for.
func (s *supervisor) takeTrans(ctx context.Context, trans chan<- *dirlock.Lock, removed chan<- struct{}) {
	l, err := dirlock.Exclusive(ctx, s.f.trans()) // not made again, should it be gone
	if errors.Is(err, fs.ErrNotExist) {
		select {
		case removed <- struct{}{}:
		case <-ctx.Done():
		}
		return
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("lock", "err", err) // the next change tries again
	}
	select {
	case trans <- l: // nil after an error
	case <-ctx.Done():
		_ = l.Unlock()
	}
}

// setIdleLimit replaces a limit that watchIdle has not seen yet. Its callers exclude one
// another: they hold mu, or are alone.
func (s *supervisor) setIdleLimit(d time.Duration) {
	s.limit = d
	select {
	case <-s.idleLimit:
	default:
	}
	s.idleLimit <- d
}

func (s *supervisor) kick() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// needed reports whether the server must go on.
func (s *supervisor) needed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.users) > 0 || s.pinned && !s.idle
}

func (s *supervisor) taken() bool {
	select {
	case <-s.claimed:
		return true
	default:
		return false
	}
}

func (s *supervisor) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinned && s.idle {
		return "idle"
	}
	return "no users"
}

// end stops the server, removes what is temporary, gives up supervisor.lock and tells the
// users, in this order. locked says that trans.lock is held, by us or by whoever asked
// for the end; without it nothing is removed.
func (s *supervisor) end(why Ended, locked bool) {
	s.log.Info("end", "why", why.Why, "err", why.Err)
	_ = os.Remove(s.f.run())
	_ = s.listener.Close()
	s.closeServer()
	_ = os.Remove(filepath.Dir(s.run.Socket)) // unless something else is in it
	if s.job.Destroy && locked {
		doomed, err := unlinkCluster(s.f)
		if err != nil {
			s.log.Error("remove the temporary cluster", "err", err)
		}
		defer func() { _ = os.RemoveAll(doomed) }() // nobody need wait for it
	}
	// Nothing of ours touches the control directory after this.
	s.endAsking()
	s.asking.Wait()
	if err := s.lock.Unlock(); err != nil {
		s.log.Error("unlock", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.users {
		s.say(c, response{OK: true, Ended: &why})
	}
	for c := range s.leaving {
		s.say(c, response{OK: true})
	}
}

func (s *supervisor) closeServer() {
	grace := stopGrace
	if s.force {
		grace = forcedGrace
		if err := s.run.killFrozen(); err != nil {
			s.log.Error("stop the server", "err", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if s.front != nil {
		s.front.close()
	}
	if err := s.srv.Close(ctx); err != nil {
		s.log.Error("stop the server", "err", err)
	}
}
