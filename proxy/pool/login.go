package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// A login is a connection that is being opened.
type login struct {
	backend *Backend
	creds   Credentials
	nc      net.Conn
	tls     *tls.ConnectionState
	r       *wire.Reader
	dec     wire.BackendDecoder
	out     []byte
}

// Open dials the backend and logs in with the given startup parameters beside the backend's
// own: what the server sends from then on is read by nobody yet. It is for connections that no
// pool lends out, for replication; rest are bytes that came behind the ReadyForQuery.
func Open(ctx context.Context, b *Backend, params map[string]string) (nc net.Conn, key wire.BackendKeyData, reported setting.Set, rest []byte, err error) {
	creds := b.Login
	for {
		if fetch := creds.Fetch; fetch != nil {
			got, err := fetch(ctx)
			if err != nil {
				return nil, key, reported, nil, fmt.Errorf("find out how %s logs in: %w", creds.User, err)
			}
			creds.Password, creds.Passwords, creds.Keys, creds.MD5 = got.Password, got.Passwords, got.Keys, got.MD5
		}
		nc, key, reported, rest, err = openAny(ctx, b, creds, params)
		// A client may have logged in with a new password meanwhile.
		if !refused(err) || creds.Fetch == nil {
			return nc, key, reported, rest, err
		}
		if got, ferr := creds.Fetch(ctx); ferr != nil || got.proves(creds) {
			return nc, key, reported, rest, err
		}
	}
}

// proves reports whether c and other are the same proofs of who somebody is.
func (c Credentials) proves(other Credentials) bool {
	same := c.Keys == other.Keys || c.Keys != nil && other.Keys != nil &&
		bytes.Equal(c.Keys.ClientKey, other.Keys.ClientKey) && bytes.Equal(c.Keys.ServerKey, other.Keys.ServerKey)
	return same && c.Password == other.Password && c.MD5 == other.MD5 && slices.Equal(c.Passwords, other.Passwords)
}

// refused reports whether the server did not believe in a login.
func refused(err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return ok && e.Code == wire.CodeInvalidPassword
}

// openAny logs in with the first of the passwords that the server takes.
func openAny(ctx context.Context, b *Backend, creds Credentials, params map[string]string) (nc net.Conn, key wire.BackendKeyData, reported setting.Set, rest []byte, err error) {
	for more := creds.Passwords; ; more = more[1:] {
		nc, key, reported, rest, err = openAs(ctx, b, creds, params)
		if !refused(err) || len(more) == 0 {
			return nc, key, reported, rest, err
		}
		creds.Password = more[0]
	}
}

// openAs logs in once.
func openAs(ctx context.Context, b *Backend, creds Credentials, params map[string]string) (nc net.Conn, key wire.BackendKeyData, reported setting.Set, rest []byte, err error) {
	l := &login{backend: b, creds: creds}
	if l.nc, err = b.Dial(ctx); err != nil {
		return nil, key, reported, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.nc.SetDeadline(time.Unix(1, 0)) })
	key, reported, err = l.run(ctx, params)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = l.nc.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, key, reported, nil, err
	}
	return l.nc, key, reported, l.r.Detach(), nil
}

func (l *login) run(ctx context.Context, params map[string]string) (key wire.BackendKeyData, reported setting.Set, err error) {
	if err := l.secure(ctx); err != nil {
		return key, reported, err
	}
	m := &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{
		{Name: "user", Value: l.creds.User}, {Name: "database", Value: l.creds.Database},
	}}
	all := maps.Clone(l.backend.Params)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, params)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m.Params = append(m.Params, wire.Param{Name: name, Value: all[name]})
	}
	l.r = wire.NewReader(l.nc, wire.Backend, 0)
	if err := l.send(m); err != nil {
		return key, reported, err
	}
	if err := l.authenticate(); err != nil {
		return key, reported, err
	}
	return l.greeting()
}

// secure begins TLS as the backend's mode demands.
func (l *login) secure(ctx context.Context) error {
	mode := l.backend.TLS.Mode
	if a := l.nc.LocalAddr(); a != nil && (strings.HasPrefix(a.Network(), "unix") || a.Network() == "pipe") {
		if mode >= TLSRequire {
			return errors.New("TLS is demanded, but the server is reached by a Unix socket or a pipe")
		}
		return nil
	}
	if mode == TLSDisable {
		return nil
	}
	if _, err := l.nc.Write((&wire.SSLRequest{}).AppendTo(nil)); err != nil {
		return err
	}
	var answer [1]byte // no byte more: what follows in the clear must not be taken for TLS (CVE-2021-23222)
	if _, err := io.ReadFull(l.nc, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0] == wire.SSLAccepted:
	case answer[0] == wire.NotAccepted && mode == TLSPrefer:
		return nil
	case answer[0] == wire.NotAccepted:
		return errors.New("TLS is demanded, but the server has none")
	default:
		if answer[0] == 'E' {
			// It cannot start a process now, or is older than TLS. What it says about that came
			// without TLS, and may be anybody's words.
			return wire.Errorf(wire.CodeConnectionFailure, "the server refused the connection when it was asked for TLS")
		}
		return wire.Errorf(wire.CodeProtocolViolation, "the server answered the request for TLS with %q", answer[0])
	}
	tc := tls.Client(&socket{l.nc}, l.backend.TLS.client())
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	cs := tc.ConnectionState()
	l.nc, l.tls = tc, &cs
	return nil
}

// client makes the configuration of crypto/tls for the mode.
func (t TLS) client() *tls.Config {
	cfg := t.Config.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.NextProtos = []string{"postgresql"}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if t.Mode == TLSVerifyFull {
		return cfg
	}
	cfg.InsecureSkipVerify = true
	if t.Mode == TLSVerifyCA {
		roots := cfg.RootCAs
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, cert := range cs.PeerCertificates[1:] {
				opts.Intermediates.AddCert(cert)
			}
			_, err := cs.PeerCertificates[0].Verify(opts)
			return err
		}
	}
	return cfg
}

func (l *login) send(m wire.Message) error {
	var err error
	if l.out, err = wire.Append(l.out[:0], m); err != nil {
		return err
	}
	defer clear(l.out)
	_, err = l.nc.Write(l.out)
	return err
}

// next returns the next message; an ErrorResponse is its error.
func (l *login) next() (wire.BackendMessage, error) {
	for {
		f, err := l.r.ReadFrame()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		m, err := l.dec.Decode(f.Type, f.Body)
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *wire.ErrorResponse:
			e := m.Error
			return nil, &e
		case *wire.NoticeResponse:
			continue
		case *wire.NegotiateProtocolVersion:
			return nil, wire.Errorf(wire.CodeFeatureNotSupported, "the server does not speak protocol 3.0")
		}
		return m, nil
	}
}

func (l *login) authenticate() error {
	for asked := false; ; asked = true {
		m, err := l.next()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.AuthenticationOk:
			if l.creds.Demand && !asked {
				return &wire.Error{Code: wire.CodeInvalidAuthorization, Message: "the server asks for no password, so it proves nothing"}
			}
			return nil
		case *wire.AuthenticationCleartextPassword:
			err = l.password(l.creds.Password)
		case *wire.AuthenticationMD5Password:
			err = l.md5(m.Salt)
		case *wire.AuthenticationSASL:
			err = l.scram(m.Mechanisms)
		default:
			err = wire.Errorf(wire.CodeFeatureNotSupported, "the server wants %T, which the proxy cannot do", m)
		}
		if err != nil {
			return err
		}
	}
}

// password answers with a password, or what is made of one.
func (l *login) password(answer string) error {
	if l.creds.Password == "" {
		return &wire.Error{
			Code:    wire.CodeInvalidPassword,
			Message: fmt.Sprintf("the server wants a password of role %q, and the proxy has none", l.creds.User),
		}
	}
	return l.send(&wire.PasswordMessage{Password: answer})
}

// md5 answers with the password, or what the server itself has of it.
func (l *login) md5(salt [4]byte) error {
	if l.creds.Password == "" && l.creds.MD5 != "" {
		return l.send(&wire.PasswordMessage{Password: auth.MD5HashResponse(l.creds.MD5, salt)})
	}
	return l.password(auth.MD5Response(l.creds.User, l.creds.Password, salt))
}

func (l *login) scram(offered []string) error {
	if l.creds.Password == "" && l.creds.Keys == nil {
		return l.password("")
	}
	c := &auth.SCRAMClient{Password: l.creds.Password, Keys: l.creds.Keys, Binding: auth.ClientBinding(l.tls)}
	mechanism, err := c.Choose(offered)
	if err != nil {
		return err
	}
	if err := l.send(&wire.SASLInitialResponse{Mechanism: mechanism, Data: c.First()}); err != nil {
		return err
	}
	for {
		m, err := l.next()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.AuthenticationSASLContinue:
			out, _, err := c.Next(m.Data)
			if err != nil {
				return err
			}
			if err := l.send(&wire.SASLResponse{Data: out}); err != nil {
				return err
			}
		case *wire.AuthenticationSASLFinal:
			if _, _, err := c.Next(m.Data); err != nil {
				return err
			}
			if !c.Verified() {
				return wire.Errorf(wire.CodeInvalidAuthorization, "the server did not prove that it knows the password")
			}
			return nil
		default:
			return wire.Errorf(wire.CodeProtocolViolation, "the server sent %T within SCRAM", m)
		}
	}
}

// greeting takes what comes between AuthenticationOk and ReadyForQuery.
func (l *login) greeting() (key wire.BackendKeyData, reported setting.Set, err error) {
	for {
		m, err := l.next()
		if err != nil {
			return key, reported, err
		}
		switch m := m.(type) {
		case *wire.ParameterStatus:
			reported = reported.With(m.Name, m.Value)
		case *wire.BackendKeyData:
			key = wire.BackendKeyData{PID: m.PID, Key: slices.Clone(m.Key)}
		case *wire.ReadyForQuery:
			return key, reported, nil
		default:
			return key, reported, wire.Errorf(wire.CodeProtocolViolation, "the server greets with %T", m)
		}
	}
}
