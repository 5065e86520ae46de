package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A server is a running postmaster with its directory's lock.
type server struct {
	d        *directory
	p        *postmaster
	info     engines.Info
	logBegin int64 // where this run begins in the log
	discard  bool

	superusers []string // who may connect, if it was found out
	release    func()   // of the runtime
	done       chan struct{}

	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error
	err       error // why it ended by itself; to be read after done
}

func newServer(l *launcher, p *postmaster, logBegin int64) *server {
	return &server{
		d: l.d, p: p, logBegin: logBegin, superusers: l.superusers,
		discard: l.spec.Discard || l.d.temp != "",
		done:    make(chan struct{}), closing: make(chan struct{}),
		info: engines.Info{
			Engine: "native", Version: l.rt.Version.String(), VersionNum: l.rt.Version.Num(),
			Dir: l.d.path, Database: "postgres", PID: p.cmd.Process.Pid,
			Bindir: l.rt.Bindir, LogFile: l.d.logFile(),
			Can: engines.CanReplicate | engines.CanArchive | engines.CanSessions | engines.CanSubprocess,
		},
	}
}

// watch waits for the postmaster's end and says why, unless Close was the cause.
func (s *server) watch() {
	<-s.p.done
	select {
	case <-s.closing:
	default:
		s.err = s.reason()
	}
	close(s.done)
}

// reason describes an end that nobody asked us for.
func (s *server) reason() error {
	how := "exit status 0: somebody told it to stop"
	if s.p.err != nil {
		how = s.p.err.Error()
	}
	text := fmt.Sprintf("postmaster %d of %s ended (%s)", s.info.PID, s.info.Dir, how)
	if tail := logTail(readLog(s.info.LogFile, s.logBegin)); tail != "" {
		text += "\n" + indent(tail)
	}
	return errors.New(text + "\nlog: " + s.info.LogFile)
}

// Dial implements engines.Server.
func (s *server) Dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socketPath(s.info.Socket, s.info.Port))
	select {
	case <-s.p.done:
		// A child that was being forked may hold the socket open, but nobody accepts.
		if err == nil {
			_ = conn.Close()
		}
		return nil, fmt.Errorf("server of %s has ended: %w", s.info.Dir, net.ErrClosed)
	default:
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Info implements engines.Server.
func (s *server) Info() engines.Info { return s.info }

// Done implements engines.Server.
func (s *server) Done() <-chan struct{} { return s.done }

// Err implements engines.Server.
func (s *server) Err() error {
	select {
	case <-s.closing:
		return nil
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close implements engines.Server. A temporary or discarded server is stopped at once.
func (s *server) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.p.stop(ctx, s.discard)
		<-s.done
		if s.p.killed() {
			awaitChildren(s.info.Dir)
		}
		s.release()
		removeSockets(s.info.Socket, s.info.Port)
		s.closeErr = s.d.close()
	})
	return s.closeErr
}
