package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// A client is one connection.
type client struct {
	front *Front
	conn  net.Conn
	pid   int // 0 over TCP
	r     *wire.Reader
}

// loginTimeout bounds the time to log in, as authentication_timeout does.
const loginTimeout = time.Minute

func (c *client) serve(ctx context.Context) error {
	c.r = wire.NewReader(c.conn, wire.Frontend, 0)
	if err := c.conn.SetDeadline(time.Now().Add(loginTimeout)); err != nil {
		return err
	}
	start, err := c.startup(ctx)
	if err != nil || start == nil {
		return err
	}
	if c.front.password != "" {
		if err := c.authenticate(start); err != nil {
			return c.fail(err)
		}
	}
	key, label, err := c.key(start.Database())
	if err != nil {
		return c.fail(err)
	}
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	cl := c.front.claim(key, lease.Holder{PID: c.pid, Label: label}, c.conn)
	defer c.front.leave(key, cl, c.conn)
	item, err := c.wait(ctx, cl)
	if err != nil {
		return c.fail(err)
	}
	return c.relay(ctx, start, item)
}

// startup reads the startup message. A cancel request is carried out, and nil returned.
func (c *client) startup(ctx context.Context) (*wire.StartupMessage, error) {
	for {
		frame, err := c.r.ReadStartup()
		if err != nil {
			return nil, c.fail(err)
		}
		packet, err := wire.DecodeStartup(frame.Body)
		if err != nil {
			return nil, c.fail(err)
		}
		switch m := packet.(type) {
		case *wire.SSLRequest, *wire.GSSENCRequest:
			if _, err := c.conn.Write([]byte{wire.NotAccepted}); err != nil {
				return nil, err
			}
		case *wire.CancelRequest:
			return nil, c.front.forwardCancel(ctx, m)
		case *wire.StartupMessage:
			if m.Version.Major() != 3 {
				return nil, c.fail(refuse(wire.CodeFeatureNotSupported, "unsupported frontend protocol", ""))
			}
			return m, nil
		}
	}
}

// key says whose database is meant.
func (c *client) key(database string) (key, label string, err error) {
	label, labelled := strings.CutPrefix(database, "lease.")
	switch {
	case labelled && label != "" && len(label) <= 64:
		return "label " + label, label, nil
	case database == "lease" && c.pid != 0:
		return "pid " + strconv.Itoa(c.pid), "", nil
	case database == "lease":
		return "", "", refuse(wire.CodeInvalidCatalogName, `over TCP, processes cannot be told apart`,
			`Connect to the database "lease.LABEL", with a label of your own.`)
	}
	return "", "", refuse(wire.CodeInvalidCatalogName, fmt.Sprintf("there is no database %q here", database),
		`Connect to "lease", or to "lease.LABEL" to share a database by that label.`)
}

// refuse makes an error for a client.
func refuse(code wire.Code, message, hint string) *wire.Error {
	return &wire.Error{Severity: wire.SeverityFatal, Code: code, Message: message, Hint: hint}
}

// authenticate asks for the password, by SCRAM.
func (c *client) authenticate(start *wire.StartupMessage) error {
	secret, err := auth.NewSCRAMSecret(c.front.password, 0)
	if err != nil {
		return err
	}
	s := auth.SCRAMServer{User: start.User(), Secret: secret}
	if err := c.write(&wire.AuthenticationSASL{Mechanisms: auth.Mechanisms(nil)}); err != nil {
		return err
	}
	for first := true; ; first = false {
		frame, err := c.r.ReadFrameLimit(wire.MaxSASLMessage)
		if err != nil {
			return err
		}
		if frame.Type != wire.TypeAuthResponse {
			return refuse(wire.CodeProtocolViolation, "expected SASL response", "")
		}
		data := frame.Body
		if first {
			var m wire.SASLInitialResponse
			if err := m.Decode(frame.Body); err != nil {
				return err
			}
			s.Mechanism, data = m.Mechanism, m.Data
		}
		out, done, err := s.Next(data)
		if err != nil {
			return err
		}
		if done {
			return c.write(&wire.AuthenticationSASLFinal{Data: out})
		}
		if err := c.write(&wire.AuthenticationSASLContinue{Data: out}); err != nil {
			return err
		}
	}
}

// wait waits for the lease, but not longer than the client, which has nothing to send
// meanwhile.
func (c *client) wait(ctx context.Context, cl *claim) (*lease.Item, error) {
	if cl.granted() {
		return cl.wait(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if _, err := c.r.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel(errGone)
		}
	}()
	item, err := cl.wait(ctx)
	if deadlineErr := c.conn.SetReadDeadline(time.Unix(1, 0)); err == nil {
		err = deadlineErr
	}
	<-gone
	if deadlineErr := c.conn.SetReadDeadline(time.Time{}); err == nil {
		err = deadlineErr
	}
	return item, err
}

// relay logs in to the leased database and passes bytes both ways until either side ends.
func (c *client) relay(ctx context.Context, start *wire.StartupMessage, item *lease.Item) error {
	up, err := connect(ctx, start, item)
	if err != nil {
		return c.fail(err)
	}
	defer func() { _ = up.Conn.Close() }()
	key := string(up.SecretKey)
	forget := c.front.remember(up.PID, key, item.Dial)
	defer forget()

	hello := (&wire.AuthenticationOk{}).AppendTo(nil)
	for name, value := range up.ParameterStatuses {
		hello = (&wire.ParameterStatus{Name: name, Value: value}).AppendTo(hello)
	}
	hello = (&wire.BackendKeyData{PID: up.PID, Key: up.SecretKey}).AppendTo(hello)
	hello = (&wire.ReadyForQuery{TxStatus: wire.TxStatus(up.TxStatus)}).AppendTo(hello)
	if _, err := c.conn.Write(hello); err != nil {
		return err
	}
	if _, err := up.Conn.Write(c.r.Detach()); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(c.conn, up.Conn)
		_ = c.conn.Close()
	}()
	_, err = io.Copy(up.Conn, c.conn)
	_ = up.Conn.Close()
	<-done
	return err
}

// connect opens a session in the item's database, as the pool's role, with what the client
// asked for in its startup message.
func connect(ctx context.Context, start *wire.StartupMessage, item *lease.Item) (*pgconn.HijackedConn, error) {
	if item.Config == nil {
		return nil, refuse(wire.CodeFeatureNotSupported, "this pool lends names only", "")
	}
	cfg, err := item.Config()
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams = map[string]string{}
	for _, p := range start.Params {
		switch {
		case p.Name == "user", p.Name == "database", p.IsProtocolOption():
		default:
			cfg.RuntimeParams[p.Name] = p.Value
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, &cfg.Config)
	if err != nil {
		return nil, err
	}
	return conn.Hijack()
}

// remember notes where a cancel request has to go; the function that it returns forgets.
func (f *Front) remember(pid uint32, key string, dial func(context.Context) (net.Conn, error)) func() {
	id := strconv.FormatUint(uint64(pid), 10) + " " + key
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancels[id] = dial
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.cancels, id)
	}
}

// forwardCancel passes on a cancel request of one of our sessions, and waits until the
// server has taken it, as clients do.
func (f *Front) forwardCancel(ctx context.Context, m *wire.CancelRequest) error {
	f.mu.Lock()
	dial := f.cancels[strconv.FormatUint(uint64(m.PID), 10)+" "+string(m.Key)]
	f.mu.Unlock()
	if dial == nil {
		return errors.New("a cancel request for no session of ours")
	}
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(m.AppendTo(nil)); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// fail sends an error to the client and returns it.
func (c *client) fail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errGone) || errors.Is(err, net.ErrClosed) {
		return err
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_ = c.write(&wire.ErrorResponse{Error: *toError(err)})
	return err
}

// toError turns any error into PostgreSQL's kind.
func toError(err error) *wire.Error {
	if ours, ok := errors.AsType[*wire.Error](err); ok {
		return ours
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &wire.Error{Severity: wire.SeverityFatal, Code: wire.Code(pg.Code), Message: pg.Message, Detail: pg.Detail, Hint: pg.Hint}
	}
	if login, ok := errors.AsType[*auth.Error](err); ok {
		return &wire.Error{Severity: wire.SeverityFatal, Code: wire.Code(login.Code), Message: login.Message, Detail: login.Detail}
	}
	if refused, ok := errors.AsType[*lease.RefusedError](err); ok {
		return refuse(wire.CodeTooManyConnections, refused.Error(), "")
	}
	return refuse(wire.CodeCannotConnectNow, "the leased database cannot be reached", "")
}

func (c *client) write(m wire.BackendMessage) error {
	_, err := c.conn.Write(m.AppendTo(nil))
	return err
}
