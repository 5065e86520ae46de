package fleet

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// AuthQuery asks a database's server for the secret of a user, as auth_user by auth_query. A
// user that there is not is auth.ErrNoSuchRole.
func (f *Fleet) AuthQuery(ctx context.Context, c *conf.Config, database, user string) (auth.Secret, error) {
	as := authUser(c, database)
	if name := c.PgBouncer.AuthDBName; name != "" {
		database = name
	}
	fail := func(err error) (auth.Secret, error) {
		return auth.Secret{}, fmt.Errorf("auth_query as %q in %q: %w", as, database, err)
	}
	if _, ok := c.User(as, database); !ok {
		return fail(errors.New("auth_user has no entry that lets it use the database"))
	}
	m, err := f.member(pair{as, database})
	if err != nil {
		return fail(err)
	}
	p, err := m.Pick(ctx, route.Primary)
	if err != nil {
		return fail(err)
	}
	conn, err := p.Get(ctx)
	if err != nil {
		return fail(err)
	}
	row, err := ask(ctx, conn, c.PgBouncer.AuthQuery, user)
	if err != nil && ctx.Err() != nil {
		conn.Break("auth_query took too long")
	}
	conn.Release()
	switch {
	case err != nil:
		return fail(err)
	case row == nil:
		return auth.Secret{}, auth.ErrNoSuchRole
	case len(row) != 2:
		return fail(fmt.Errorf("it returned %d columns, and has to return the name and the secret", len(row)))
	case string(row[0]) != user:
		return fail(errors.New("it returned another user"))
	case row[1] == nil:
		return auth.Secret{}, nil // no password of his
	}
	s, err := auth.ParseSecret(string(row[1]))
	if err != nil {
		return fail(errors.New("it returned a secret that is none of PostgreSQL's"))
	}
	return s, nil
}

// ask runs a query with one parameter, and returns its row; nil if there is none. The
// connection's settings are taken back before, since clients of auth_user may have made them:
// the query must mean what its author meant.
func ask(ctx context.Context, c *pool.Conn, sql, arg string) (row [][]byte, err error) {
	d := c.Direct()
	defer d.Close()
	if c.Unknown || c.Have.Len() > 0 {
		for _, sql := range []string{"SET SESSION AUTHORIZATION DEFAULT", "RESET ALL"} {
			if _, err := d.Exec(ctx, sql); err != nil {
				c.Unknown = true
				return nil, err
			}
		}
		c.Have, c.Unknown = setting.Set{}, false
	}
	c.Unnamed = 0
	var b []byte
	for _, m := range []wire.FrontendMessage{
		&wire.Parse{SQL: sql}, &wire.Bind{Params: [][]byte{[]byte(arg)}}, &wire.Execute{}, &wire.Sync{},
	} {
		if b, err = wire.Append(b, m); err != nil {
			return nil, err
		}
	}
	if err := d.Send(b); err != nil {
		return nil, err
	}
	var failed error
	for {
		typ, body, err := d.Receive(ctx)
		if err != nil {
			return nil, err
		}
		switch typ {
		case wire.TypeDataRow:
			if row != nil {
				failed = errors.New("it returned several rows")
				continue
			}
			var m wire.DataRow
			if err := m.Decode(body); err != nil {
				return nil, err
			}
			row = [][]byte{}
			for _, v := range m.Values {
				if v != nil {
					v = append([]byte{}, v...) // empty is not NULL
				}
				row = append(row, v)
			}
		case wire.TypeErrorResponse:
			var m wire.ErrorResponse
			if err := m.Decode(body); err != nil {
				return nil, err
			}
			failed = &m.Error
		case wire.TypeReadyForQuery:
			return row, failed
		}
	}
}

// Try logs in at a server of a database as a user with a password, and goes again: it is how
// the proxy finds out whether a password is right that it has no record of. A server that asks
// for none proves nothing. The error is the server's.
func (f *Fleet) Try(ctx context.Context, c *conf.Config, user, database, password string) error {
	var best *conf.Database
	for i := range c.Databases {
		d := &c.Databases[i]
		if d.Name == database && !d.ReshardingOnly && (best == nil || best.ServerRole() == conf.Replica && d.ServerRole() != conf.Replica) {
			best = d
		}
	}
	if best == nil {
		return errNoServer
	}
	t, err := serverTLS(&c.General)
	if err != nil {
		return err
	}
	s, _ := server(c, &conf.User{Name: user, Database: database}, best, t)
	s.Login = pool.Credentials{User: user, Database: s.Login.Database, Password: password, Demand: true}
	if d := s.Pool.ConnectTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	nc, _, _, _, err := pool.Open(ctx, &s.Backend, nil)
	if err != nil {
		return err
	}
	if b, err := wire.Append(nil, &wire.Terminate{}); err == nil {
		_, _ = nc.Write(b)
	}
	return nc.Close()
}
