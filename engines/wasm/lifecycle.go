package wasm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/pgx-dev/pgx-dev/engines"
)

// Dial implements engines.Server: a stream in memory.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case <-s.b.done:
		return nil, errors.Join(errors.New("the server has ended"), s.Err())
	default:
	}
	return conn{s.b.add().stream}, nil
}

// Info implements engines.Server.
func (s *Server) Info() engines.Info { return s.info }

// Done implements engines.Server.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err implements engines.Server.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close implements engines.Server: transactions are rolled back, clients told, and the
// data directory is checkpointed, unless the server is temporary or its data to be
// discarded. When ctx ends first the guest is stopped where it is; what was committed is
// recovered at the next start.
func (s *Server) Close(ctx context.Context) error {
	err := s.shut(ctx)
	s.wg.Wait()
	return err
}

func (s *Server) shut(ctx context.Context) error {
	s.closing.Do(func() {
		if s.tcp != nil {
			s.stop()
		}
		s.b.stop(s.temp)
		undo := context.AfterFunc(ctx, func() { s.b.stop(true) })
		<-s.b.done
		undo()
		s.closeE = s.finish(ctx)
		close(s.done)
		s.e.mu.Lock()
		s.e.servers--
		s.e.mu.Unlock()
		s.e.log.Info("server ended", "engine", "wasm", "dir", s.info.Dir, "error", s.err)
	})
	return s.closeE
}

// finish puts the guest away after its goroutine has ended.
func (s *Server) finish(ctx context.Context) error {
	s.b.mu.Lock()
	if s.b.err != nil {
		s.err = fmt.Errorf("the server in %s ended: %w", s.info.Dir, s.b.err)
	}
	killed := s.b.killed
	s.b.mu.Unlock()
	var errs []error
	if !s.temp && s.err == nil && !killed && ctx.Err() == nil {
		if err := s.b.in.Shutdown(); err != nil {
			errs = append(errs, fmt.Errorf("shut the guest down (the next start recovers): %w", err))
		}
	}
	s.b.in.Close()
	if s.last != nil {
		errs = append(errs, s.last.close())
		s.last = nil
	}
	errs = append(errs, s.m.close(), s.lock.Unlock())
	if s.freeTemplate != nil {
		errs = append(errs, s.freeTemplate())
	}
	return errors.Join(errs...)
}

// listen opens the TCP listener that a Spec asks for, on the next free port if need be. It
// asks for the role's password: the superuser has none until it is given one.
func (s *Server) listen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", address, err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("listen on %q: passwords would be safe on the way, data would not; only loopback addresses are served", address)
	}
	var ln net.Listener
	for try := range 100 {
		if ln, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n+try))); err == nil || n == 0 {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("listen on %q and the ports behind it: %w", address, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.tcp, s.stop, s.info.TCP = ln, cancel, ln.Addr().String()
	s.wg.Go(func() {
		_ = engines.ServeAuthenticated(ctx, ln, func(context.Context, engines.Startup) (engines.Server, error) { return s, nil }, engines.Passwords())
	})
	return nil
}
