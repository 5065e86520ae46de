package engines

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// Passwords returns an Authenticate that asks a client for its role's password, by
// SCRAM-SHA-256, and checks it against what the server itself has stored (pg_authid). Roles
// without a SCRAM verifier do not get in, and cannot be told from those with another
// password. The server must let the superuser in without one, as those of our engines do.
func Passwords() Authenticate {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return func(ctx context.Context, srv Server, s Startup, c net.Conn) error {
		secret, err := storedSecret(ctx, srv, s)
		if err != nil {
			return err
		}
		if !secret.CanSCRAM() {
			secret = auth.MockSecret(key, s.User, auth.DefaultIterations)
		}
		return scram(s.User, secret, c)
	}
}

// lookupWithin bounds the lookup of a password in another database than the client's.
const lookupWithin = 5 * time.Second

// storedSecret returns what the role authenticates against, the zero Secret if nothing.
func storedSecret(ctx context.Context, srv Server, s Startup) (auth.Secret, error) {
	// The client's own database: where there is one backend, another one's sessions would
	// have to end first.
	conn, err := Connect(ctx, srv, s.Database)
	if hasState(err, "3D000") { // invalid_catalog_name: not told to strangers
		ctx, cancel := context.WithTimeout(ctx, lookupWithin)
		defer cancel()
		if conn, err = Connect(ctx, srv, ""); err != nil {
			return auth.Secret{}, nil
		}
	}
	if err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			err = &auth.Error{Code: pg.Code, Message: pg.Message, Detail: pg.Detail}
		}
		return auth.Secret{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var text string
	err = conn.QueryRow(ctx, `SELECT rolpassword FROM pg_catalog.pg_authid
		WHERE rolname = $1 AND rolcanlogin AND rolpassword IS NOT NULL AND (rolvaliduntil IS NULL OR rolvaliduntil > now())`,
		s.User).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return auth.Secret{}, nil
	}
	if err != nil {
		return auth.Secret{}, fmt.Errorf("look up the password of %q: %w", s.User, err)
	}
	return auth.ParseSecret(text)
}

func hasState(err error, code string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == code
}

// scram runs the exchange, up to AuthenticationSASLFinal.
func scram(user string, secret auth.Secret, c net.Conn) error {
	if err := send(c, &wire.AuthenticationSASL{Mechanisms: auth.Mechanisms(nil)}); err != nil {
		return err
	}
	body, err := readResponse(c)
	if err != nil {
		return err
	}
	var first wire.SASLInitialResponse
	if err := first.Decode(body); err != nil {
		return &auth.Error{Code: auth.CodeProtocolViolation, Message: err.Error()}
	}
	if first.Mechanism != auth.SCRAMSHA256 {
		return &auth.Error{Code: auth.CodeProtocolViolation, Message: "client selected an invalid SASL authentication mechanism"}
	}
	exchange := auth.SCRAMServer{User: user, Secret: secret, Mechanism: first.Mechanism}
	out, _, err := exchange.Next(first.Data)
	if err != nil {
		return err
	}
	if err := send(c, &wire.AuthenticationSASLContinue{Data: out}); err != nil {
		return err
	}
	if body, err = readResponse(c); err != nil {
		return err
	}
	if out, _, err = exchange.Next(body); err != nil {
		return err
	}
	return send(c, &wire.AuthenticationSASLFinal{Data: out})
}

func send(c net.Conn, m interface{ AppendTo(b []byte) []byte }) error {
	_, err := c.Write(m.AppendTo(nil))
	return err
}

// readResponse reads the body of one message of type 'p', and not a byte more.
func readResponse(c net.Conn) ([]byte, error) {
	var header [5]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return nil, err
	}
	const slack = 64 // for the mechanism's name and lengths
	n := binary.BigEndian.Uint32(header[1:])
	if header[0] != 'p' || n < 4 || n > auth.MaxSCRAMMessage+slack {
		return nil, &auth.Error{Code: auth.CodeProtocolViolation, Message: "expected SASL response"}
	}
	body := make([]byte, n-4)
	_, err := io.ReadFull(c, body)
	return body, err
}
