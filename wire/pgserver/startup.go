package pgserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Lengths of cancel keys, by protocol version.
const (
	cancelKey30 = 4
	cancelKey32 = 32
)

// start goes from the first byte to an authenticated session. It returns errTerminate where
// the connection ends in good order: after a cancel request, or when the client goes away.
func (c *conn) start(ctx context.Context) error {
	timeout := c.srv.StartupTimeout
	if timeout == 0 {
		timeout = DefaultStartupTimeout
	}
	if timeout > 0 {
		// One deadline for all of it: a client that sends a byte now and then gains nothing.
		if err := c.raw.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
	}
	if c.refusal != nil {
		// Before anything is read, so that a flood costs nothing more.
		c.fatal(c.refusal)
		return errTerminate
	}
	startup, err := c.opening(ctx)
	if err != nil {
		return err
	}
	if c.srv.isClosing() {
		return &wire.Error{Code: wire.CodeCannotConnectNow, Message: "the database system is shutting down"}
	}
	s := &Session{conn: c, ctx: ctx, startup: startup, tx: wire.TxIdle}
	if err := c.negotiate(s); err != nil {
		return err
	}
	if !c.srv.handsOver(s) {
		if err := s.params.init(c.srv, startup); err != nil {
			return err
		}
	}
	if err := c.authenticate(ctx, s); err != nil {
		return err
	}
	c.srv.authenticated(c)
	if timeout > 0 {
		if err := c.raw.SetDeadline(time.Time{}); err != nil {
			return err
		}
	}
	if c.srv.handsOver(s) {
		c.sess = s
		return nil
	}
	limit := c.srv.MaxMessage
	switch {
	case limit == 0:
		limit = DefaultMaxMessage
	case limit < 0:
		limit = 0
	}
	c.r.SetMaxMessage(limit)
	return c.open(s)
}

// open makes the session and greets the client.
func (c *conn) open(s *Session) error {
	keyLen := cancelKey30
	if s.version >= wire.Version32 {
		keyLen = cancelKey32
	}
	var key []byte
	s.pid, key = c.srv.keys.add(c, keyLen)
	c.sess = s
	c.run.parent, c.run.started = s.ctx, c.watch
	c.stmts, c.portals = map[string]*statement{}, map[string]*portal{}
	if err := s.params.report(c.w); err != nil {
		return err
	}
	return c.w.Send(&wire.BackendKeyData{PID: s.pid, Key: key})
}

// opening reads startup packets until one asks for a session.
func (c *conn) opening(ctx context.Context) (*wire.StartupMessage, error) {
	first, err := c.r.Peek(1)
	if err != nil {
		return nil, quiet(err)
	}
	if first[0] == 0x16 { // the record type of a ClientHello
		if err := c.directTLS(ctx); err != nil {
			return nil, err
		}
	}
	askedTLS, askedGSS := c.tlsState != nil, c.tlsState != nil
	for {
		f, err := c.r.ReadStartup()
		if err != nil {
			return nil, quiet(err)
		}
		packet, err := wire.DecodeStartup(f.Body)
		if err != nil {
			return nil, err
		}
		switch m := packet.(type) {
		case *wire.CancelRequest:
			if c.srv.Takeover == nil || c.srv.Stays != nil {
				c.srv.keys.cancel(m.PID, m.Key)
			}
			if c.srv.Takeover != nil && c.srv.Cancel != nil {
				c.srv.Cancel(ctx, m.PID, bytes.Clone(m.Key))
			}
			return nil, errTerminate
		case *wire.SSLRequest:
			if askedTLS {
				return nil, unsupportedProtocol("SSLRequest")
			}
			askedTLS = true
			if err := c.upgrade(ctx); err != nil {
				return nil, err
			}
		case *wire.GSSENCRequest:
			if askedGSS {
				return nil, unsupportedProtocol("GSSENCRequest")
			}
			askedGSS = true
			if err := c.decline(c.r.Buffered() > 0, "GSSAPI encryption"); err != nil {
				return nil, err
			}
		case *wire.StartupMessage:
			return c.checkStartup(m)
		}
	}
}

// checkStartup takes a startup message that the session keeps.
func (c *conn) checkStartup(m *wire.StartupMessage) (*wire.StartupMessage, error) {
	if m.Version.Major() == 3 {
		if m.User() == "" {
			return nil, &wire.Error{Code: wire.CodeInvalidAuthorization, Message: "no PostgreSQL user name specified in startup packet"}
		}
		if err := checkReplication(m); err != nil {
			return nil, err
		}
		for _, p := range m.Params {
			if !utf8.ValidString(p.Name) || !utf8.ValidString(p.Value) {
				return nil, &wire.Error{Code: wire.CodeCharacterNotInRepertoire, Message: "invalid byte sequence for encoding \"UTF8\" in startup packet"}
			}
		}
		if c.srv.RequireTLS && c.tlsState == nil && !isLocal(c.raw) {
			return nil, &wire.Error{
				Code: wire.CodeInvalidAuthorization, Message: "this server accepts TLS connections only",
				Hint: "Connect with sslmode=require or better.",
			}
		}
	}
	return m, nil
}

// checkReplication demands a Boolean or "database" (ProcessStartupPacket): a client that asks
// for a kind of session that there is not must not get another one.
func checkReplication(m *wire.StartupMessage) error {
	v, _ := m.Get("replication")
	if _, ok := parseBool(v); ok || v == "" || v == "database" {
		return nil
	}
	return &wire.Error{
		Code: wire.CodeInvalidParameterValue, Message: fmt.Sprintf("invalid value for parameter %q: %q", "replication", v),
		Hint: `Valid values are: "false", 0, "true", 1, "database".`,
	}
}

func unsupportedProtocol(name string) *wire.Error {
	return &wire.Error{Code: wire.CodeFeatureNotSupported, Message: "unsupported frontend protocol: a second " + name}
}

// answer sends the one byte that answers an encryption request.
func (c *conn) answer(b byte) error {
	_, err := c.nc.Write([]byte{b})
	return lost(err)
}

// upgrade answers SSLRequest. Bytes that came behind it were not encrypted: whoever put them
// there gets an error where only the two ends of the TLS connection see it, and nothing of it
// is ever taken for a message (CVE-2021-23214).
func (c *conn) upgrade(ctx context.Context) error {
	injected := c.r.Buffered() > 0
	if c.srv.tls == nil || isUnix(c.raw) {
		return c.decline(injected, "SSL")
	}
	c.r.Detach()
	if err := c.answer(wire.SSLAccepted); err != nil {
		return err
	}
	if err := c.handshake(ctx, c.raw); err != nil {
		return err
	}
	if injected {
		return unencrypted("SSL")
	}
	return nil
}

// decline answers that there will be no encryption. A client that did not wait for the answer
// is as wrong as one that is told yes.
func (c *conn) decline(injected bool, what string) error {
	if err := c.answer(wire.NotAccepted); err != nil {
		return err
	}
	if injected {
		return unencrypted(what)
	}
	return nil
}

func unencrypted(what string) *wire.Error {
	return &wire.Error{
		Code: wire.CodeProtocolViolation, Message: "received unencrypted data after " + what + " request",
		Detail: "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
	}
}

// directTLS begins TLS at once. The protocol name is demanded, so that no other TLS client can
// be tricked into talking to this server.
func (c *conn) directTLS(ctx context.Context) error {
	if c.srv.tls == nil {
		c.srv.log().Info("direct TLS connection, but there is no TLS configuration", "remote", c.raw.RemoteAddr())
		return errTerminate // there is no language to tell it in
	}
	seen := c.r.Detach()
	if err := c.handshake(ctx, &prefixed{Conn: c.raw, head: seen}); err != nil {
		return err
	}
	if c.tlsState.NegotiatedProtocol != alpn {
		return &wire.Error{
			Code:    wire.CodeProtocolViolation,
			Message: "received direct SSL connection request without ALPN protocol negotiation extension",
		}
	}
	return nil
}

func (c *conn) handshake(ctx context.Context, under net.Conn) error {
	capture := &captured{Conn: under}
	tc := tls.Server(capture, c.srv.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.srv.log().Info("TLS handshake", "remote", c.raw.RemoteAddr(), "error", err)
		return errTerminate
	}
	cs := tc.ConnectionState()
	c.nc, c.tlsState, c.leaf = tc, &cs, capture.leaf
	c.in.nc = tc
	return c.r.Reset(&c.in)
}

// prefixed is a connection of which some bytes have been read.
type prefixed struct {
	net.Conn
	head []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

func (c *conn) negotiate(s *Session) error {
	version, answer, err := wire.Negotiate(s.startup, wire.Version32, c.srv.Options...)
	if err != nil {
		return err
	}
	s.version = version
	if answer == nil {
		return nil
	}
	return c.w.Send(answer)
}

// quiet turns the end of a connection that never asked for anything into no error.
func quiet(err error) error {
	if errors.Is(err, io.EOF) {
		return errTerminate
	}
	return lost(err)
}

func isUnix(nc net.Conn) bool {
	a := nc.LocalAddr()
	return a != nil && strings.HasPrefix(a.Network(), "unix")
}

// options splits the startup parameter "options" as pg_split_opts does: blanks separate, a
// backslash quotes. It understands -c name=value, --name=value.
func options(text string) ([][2]string, error) {
	var words []string
	var word strings.Builder
	quoted, any := false, false
	for _, r := range text {
		switch {
		case quoted:
			word.WriteRune(r)
			quoted = false
		case r == '\\':
			quoted, any = true, true
		case r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' || r == '\v':
			if any {
				words = append(words, word.String())
				word.Reset()
			}
			any = false
		default:
			word.WriteRune(r)
			any = true
		}
	}
	if any {
		words = append(words, word.String())
	}
	var out [][2]string
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		var setting string
		switch {
		case w == "-c" && len(words) > 0:
			setting, words = words[0], words[1:]
		case strings.HasPrefix(w, "-c"):
			setting = w[2:]
		case strings.HasPrefix(w, "--"):
			setting = w[2:]
		default:
			return nil, wire.Errorf(wire.CodeSyntaxError, "invalid command-line argument for server process: %s", w)
		}
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return nil, wire.Errorf(wire.CodeSyntaxError, "-c %s requires a value", setting)
		}
		// As ParseLongOption: the hyphens of a long option stand for underscores.
		out = append(out, [2]string{strings.ReplaceAll(name, "-", "_"), value})
	}
	return out, nil
}
