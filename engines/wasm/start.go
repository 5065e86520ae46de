package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
)

// start sets up the session of a client that has sent its startup message, and greets it.
func (b *backend) start(c *client) error {
	c.rxMu.Lock()
	bad, gone := c.bad, c.eof
	c.rxMu.Unlock()
	if c.startup == nil || gone {
		b.forget(c)
		c.end(bad)
		return nil
	}
	s, err := parseStartup(c.startup)
	if err == nil {
		err = b.login(c, s)
	}
	if err == nil {
		return nil
	}
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	b.forget(c)
	c.end(f)
	c.ready = false
	if b.current == c {
		return b.load(nil)
	}
	return nil
}

// login checks who the client wants to be and where, applies its parameters, and greets
// it. A fault is the client's; other errors are the guest's end.
func (b *backend) login(c *client, s *startup) error {
	if err := b.load(nil); err != nil {
		return err
	}
	if s.database != b.database {
		if err := b.change(s.database); err != nil {
			return err
		}
	}
	settings, err := b.roleSettings(s)
	if err != nil {
		return err
	}
	for _, kv := range append(settings, s.settings...) {
		c.session.base = slices.DeleteFunc(c.session.base, func(o guest.Setting) bool { return strings.EqualFold(o.Name, kv[0]) })
		c.session.base = append(c.session.base, guest.Setting{Name: strings.ToLower(kv[0]), Value: kv[1]})
	}
	if s.user != b.superuser {
		c.session.base = append(c.session.base, guest.Setting{Name: "session_authorization", Value: s.user})
	}
	if err := b.remember(c.session.base); err != nil {
		return err
	}
	if n := len(b.spare); n > 0 {
		b.in.Store(b.sym.PreparedQueries, b.spare[n-1])
		b.spare = b.spare[:n-1]
	}
	b.current = c
	b.listening.enter(b, c)
	if err := b.apply(&c.session); err != nil {
		if f, ok := errors.AsType[*fault](err); ok {
			c.session.base = nil
			if rerr := b.resetBase(); rerr != nil {
				return rerr
			}
			return f
		}
		return err
	}
	status, err := b.statuses()
	if err != nil {
		return err
	}
	c.ready = true
	return b.greet(c, s, status)
}

// remember notes the values that parameters have without the clients' wishes.
func (b *backend) remember(list []guest.Setting) error {
	return b.protect(func() error {
		for _, s := range list {
			if _, ok := b.original[s.Name]; ok {
				continue
			}
			b.original[s.Name] = b.settings.Get(s.Name)
			if s.Name == "session_authorization" {
				b.original[s.Name] = b.superuser // it has no value until it is set
			}
		}
		return nil
	})
}

// resetBase puts back everything that startup messages ever changed, as far as it can be.
func (b *backend) resetBase() error {
	var list []guest.Setting
	for name, value := range b.original {
		list = append(list, guest.Setting{Name: name, Value: value})
	}
	for _, s := range slices.Backward(order(list)) {
		err := b.protect(func() error {
			return b.in.InTransaction(func() error { return b.settings.Set(s.Name, s.Value, guest.SourceClient) })
		})
		if err != nil && !errors.Is(err, guest.ErrRaised) {
			return err
		}
	}
	return nil
}

// roleSettings checks that the user may log in, and returns what ALTER ROLE and ALTER
// DATABASE … SET say for it, the weakest first.
func (b *backend) roleSettings(s *startup) ([][2]string, error) {
	r, err := b.query(`SELECT r.rolcanlogin, coalesce(pg_catalog.array_to_string(array(
		SELECT kv FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) kv
		WHERE s.setrole IN (0, r.oid) AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
		ORDER BY s.setrole <> 0, s.setdatabase <> 0), e'\x01'), '')
		FROM pg_catalog.pg_roles r WHERE r.rolname = ` + Literal(s.user))
	switch {
	case err != nil:
		return nil, err
	case r.err != nil:
		return nil, r.err
	case len(r.rows) == 0:
		return nil, &fault{code: "28000", message: `role "` + s.user + `" does not exist`}
	case r.rows[0][0] != "t":
		return nil, &fault{code: "28000", message: `role "` + s.user + `" is not permitted to log in`}
	}
	var out [][2]string
	for kv := range strings.SplitSeq(r.rows[0][1], "\x01") {
		if name, value, ok := strings.Cut(kv, "="); ok {
			out = append(out, [2]string{name, value})
		}
	}
	return out, nil
}

// change boots the backend in another database. It is not done while other clients use
// this one.
func (b *backend) change(database string) error {
	r, err := b.query("SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = " + Literal(database))
	switch {
	case err != nil:
		return err
	case r.err != nil:
		return r.err
	case len(r.rows) == 0:
		return &fault{code: "3D000", message: `database "` + database + `" does not exist`}
	case r.rows[0][0] != "t":
		return &fault{code: "55000", message: `database "` + database + `" is not currently accepting connections`}
	}
	busy, err := b.others()
	if err != nil {
		return err
	}
	if busy {
		return &fault{
			code:    "55006",
			message: `cannot connect to database "` + database + `" while other clients use database "` + b.database + `"`,
			hint:    "This server has one backend, and with it one database at a time. Close the other connections first, or use the native engine.",
		}
	}
	b.mu.Lock()
	b.live = nil
	b.mu.Unlock()
	in, err := b.reboot(context.Background(), database)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.database = database
	b.mu.Unlock()
	return b.adopt(in)
}

// others lets clients go that have said good-bye, and reports whether any are left.
func (b *backend) others() (bool, error) {
	b.mu.Lock()
	var ready []*client
	for _, c := range b.clients {
		if c.ready {
			ready = append(ready, c)
		}
	}
	b.mu.Unlock()
	busy := false
	for _, c := range ready {
		if !c.leaving() {
			busy = true
		} else if err := b.quit(c); err != nil {
			return true, err
		}
	}
	return busy, nil
}

// statuses returns every parameter that is reported to clients, as it is now.
func (b *backend) statuses() ([][2]string, error) {
	target, old := b.out.target, b.out.capture
	r := &capture{}
	b.out.target, b.out.capture = nil, r
	err := b.in.SendGreeting()
	b.out.target, b.out.capture = target, old
	return r.status, err
}

// greet sends what PostgreSQL sends after authentication.
func (b *backend) greet(c *client, s *startup, status [][2]string) error {
	var out []byte
	if s.minor > 0 || len(s.extensions) > 0 {
		// NegotiateProtocolVersion: 3.0, and which options are not known.
		body := binary.BigEndian.AppendUint32(nil, 0)
		body = binary.BigEndian.AppendUint32(body, uint32(len(s.extensions)))
		for _, e := range s.extensions {
			body = append(append(body, e...), 0)
		}
		out = append(out, message('v', body)...)
	}
	out = append(out, message('R', []byte{0, 0, 0, 0})...)
	for _, kv := range status {
		c.params[kv[0]] = kv[1]
		out = append(out, message('S', []byte(kv[0]+"\x00"+kv[1]+"\x00"))...)
	}
	key := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, c.id), c.secret)
	out = append(out, message('K', key)...)
	out = append(out, message('Z', []byte{'I'})...)
	c.status = 'I'
	c.stream.send(out)
	return nil
}
