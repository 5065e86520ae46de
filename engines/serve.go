package engines

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A Startup is what a client says when it connects.
type Startup struct {
	User, Database string
	Params         map[string]string // everything else, as sent
}

// A Route says which server a client gets. Its error is shown to the client.
type Route func(ctx context.Context, s Startup) (Server, error)

// Limits of a connection before its startup message (MAX_STARTUP_PACKET_LENGTH and
// authentication_timeout in PostgreSQL).
const (
	maxStartup  = 10000
	loginWithin = 60 * time.Second

	maxStrangers = 100 // connections of nobody yet, where it matters who comes in
)

const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
)

// An Authenticate decides whether a client may come in. It is called once the client has
// sent its startup message and may exchange messages with it on c, whose deadline is set.
// A nil error lets the client in: the server that it gets sends AuthenticationOk. Any other
// is shown to the client as a FATAL error, with the code of its method SQLState, if it has
// one, and the connection is closed.
type Authenticate func(ctx context.Context, srv Server, s Startup, c net.Conn) error

// Serve accepts connections on ln and joins each to a stream of the server that route
// names for it, until ctx ends; then it closes ln and every connection, waits for them,
// and returns nil. TLS and GSS encryption are declined, and what a client sends before
// it has read that answer is refused. A CancelRequest goes to the servers that have
// connections.
//
// Serve checks no password: whoever can reach ln gets in. Use a unix socket of mode 0600
// ([ListenUnix]), or ServeAuthenticated.
func Serve(ctx context.Context, ln net.Listener, route Route) error {
	return ServeAuthenticated(ctx, ln, route, nil)
}

// ServeAuthenticated is Serve, but auth decides who gets in. At most 100 connections that
// auth has not let in yet are open at a time; further ones are refused. A nil auth lets
// everybody in.
func ServeAuthenticated(ctx context.Context, ln net.Listener, route Route, auth Authenticate) error {
	s := &serving{route: route, auth: auth, strangers: make(chan struct{}, maxStrangers), conns: map[net.Conn]struct{}{}, servers: map[Server]int{}}
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close()
		s.closeAll()
	})
	defer func() {
		stop()
		_ = ln.Close()
		s.closeAll()
		s.wg.Wait()
	}()
	for {
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				continue
			}
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		if !s.track(c) {
			_ = c.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.untrack(c)
			s.serve(ctx, c)
		})
	}
}

// ListenUnix listens on a unix socket of mode 0600. A socket file that nobody listens on
// is replaced.
func ListenUnix(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, ErrLocked)
	} else if fi, serr := os.Lstat(path); serr == nil && fi.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// ListenTCP listens on a TCP address, host:port. Where the port is taken the next ones are
// tried, as many as tries says in all. Port 0 is a free one.
func ListenTCP(address string, tries int) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %q is not a port number", address, port)
	}
	for n := range uint64(max(tries, 1)) {
		if first+n > 65535 {
			break
		}
		var ln net.Listener
		if ln, err = net.Listen("tcp", net.JoinHostPort(host, strconv.FormatUint(first+n, 10))); err == nil {
			return ln, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, err
}

type serving struct {
	route     Route
	auth      Authenticate
	strangers chan struct{}
	wg        sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	servers map[Server]int // connections of each
}

func (s *serving) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = struct{}{}
	}
	return !s.closed
}

func (s *serving) untrack(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *serving) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *serving) use(srv Server, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.servers[srv] += n; s.servers[srv] == 0 {
		delete(s.servers, srv)
	}
}

// serve joins one connection to a server.
func (s *serving) serve(ctx context.Context, c net.Conn) {
	packet, srv := s.admit(ctx, c)
	if srv == nil {
		return
	}
	s.use(srv, 1)
	defer s.use(srv, -1)
	up, err := srv.Dial(ctx)
	if err != nil {
		refuse(c, "57P03", err.Error())
		return
	}
	_ = c.SetDeadline(time.Time{})
	if _, err := up.Write(packet); err != nil {
		_ = up.Close()
		return
	}
	join(c, up)
}

// admit returns a client's startup message and its server, or nil when it gets none.
func (s *serving) admit(ctx context.Context, c net.Conn) ([]byte, Server) {
	ctx, cancel := context.WithTimeout(ctx, loginWithin)
	defer cancel()
	_ = c.SetDeadline(time.Now().Add(loginWithin))
	if s.auth != nil {
		select {
		case s.strangers <- struct{}{}:
			defer func() { <-s.strangers }()
		default:
			refuse(c, "53300", "too many connections wait to be let in")
			return nil, nil
		}
	}
	packet, err := s.login(ctx, c)
	if packet == nil || err != nil {
		return nil, nil
	}
	startup, err := readStartup(packet[4:])
	if err != nil {
		refuse(c, "08P01", err.Error())
		return nil, nil
	}
	srv, err := s.route(ctx, startup)
	if err != nil {
		refuse(c, "08004", err.Error())
		return nil, nil
	}
	if s.auth == nil {
		return packet, srv
	}
	if err := s.auth(ctx, srv, startup, c); err != nil {
		code := "28000" // invalid_authorization_specification
		if e, ok := errors.AsType[interface {
			error
			SQLState() string
		}](err); ok {
			code = e.SQLState()
		}
		refuse(c, code, err.Error())
		return nil, nil
	}
	return packet, srv
}

// login reads up to the startup message, without a byte more, and returns it whole; nil
// when the connection was of another kind.
func (s *serving) login(ctx context.Context, c net.Conn) ([]byte, error) {
	for range 3 { // GSS, TLS, startup
		packet := make([]byte, 4, 512)
		if _, err := io.ReadFull(c, packet); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(packet)
		if n < 8 || n > maxStartup {
			refuse(c, "08P01", "invalid length of startup packet")
			return nil, nil
		}
		packet = append(packet, make([]byte, n-4)...)
		if _, err := io.ReadFull(c, packet[4:]); err != nil {
			return nil, err
		}
		switch code := binary.BigEndian.Uint32(packet[4:]); code {
		case codeSSL, codeGSS:
			if n != 8 {
				refuse(c, "08P01", "invalid length of startup packet")
				return nil, nil
			}
			if _, err := c.Write([]byte{'N'}); err != nil {
				return nil, err
			}
		case codeCancel:
			s.cancel(ctx, packet)
			return nil, nil
		default:
			return packet, nil
		}
	}
	refuse(c, "08P01", "too many requests for encryption")
	return nil, nil
}

// cancel hands a CancelRequest to every server that has connections: only the one that
// made up the key does anything.
func (s *serving) cancel(ctx context.Context, packet []byte) {
	s.mu.Lock()
	servers := make([]Server, 0, len(s.servers))
	for srv := range s.servers {
		servers = append(servers, srv)
	}
	s.mu.Unlock()
	for _, srv := range servers {
		up, err := srv.Dial(ctx)
		if err != nil {
			continue
		}
		if _, err := up.Write(packet); err == nil {
			_ = up.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.Copy(io.Discard, up) // the server closes it when it is done
		}
		_ = up.Close()
	}
}

// join copies both ways until either side ends.
func join(c, up net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(up, c)
		_ = up.Close()
	})
	_, _ = io.Copy(c, up)
	_ = c.Close()
	_ = up.Close()
	wg.Wait()
}

func readStartup(b []byte) (Startup, error) {
	s := Startup{Params: map[string]string{}}
	if binary.BigEndian.Uint32(b)>>16 != 3 {
		return s, errors.New("unsupported frontend protocol: this server supports 3.0")
	}
	var words []string
	start := 4
	for i := 4; i < len(b); i++ {
		if b[i] == 0 {
			words = append(words, string(b[start:i]))
			start = i + 1
		}
	}
	for i := 0; i+1 < len(words) && words[i] != ""; i += 2 {
		switch words[i] {
		case "user":
			s.User = words[i+1]
		case "database":
			s.Database = words[i+1]
		default:
			s.Params[words[i]] = words[i+1]
		}
	}
	if s.User == "" {
		return s, errors.New("no PostgreSQL user name specified in startup packet")
	}
	if s.Database == "" {
		s.Database = s.User
	}
	return s, nil
}

// refuse sends a FATAL error.
func refuse(c net.Conn, code, msg string) {
	var b []byte
	for _, f := range []struct {
		t byte
		v string
	}{{'S', "FATAL"}, {'V', "FATAL"}, {'C', code}, {'M', msg}} {
		b = append(append(append(b, f.t), f.v...), 0)
	}
	b = append(b, 0)
	out := append([]byte{'E', 0, 0, 0, 0}, b...)
	binary.BigEndian.PutUint32(out[1:], uint32(len(b)+4))
	_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = c.Write(out)
}
