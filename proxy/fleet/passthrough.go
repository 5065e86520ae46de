package fleet

import (
	"context"
	"crypto/subtle"
	"errors"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// passes says that clients of whom the configuration has no password log in as the servers let
// them.
func (a *Auth) passes(cfg *conf.Config) bool { return a.Fleet != nil && a.Keys != nil && passes(cfg) }

// passthrough asks a client for its password in the clear. One that is known is compared; any
// other one is tried at a server, and is known from then on. Where a password may not change,
// the first one that was right holds until the proxy ends.
func (a *Auth) passthrough(ctx context.Context, c *pgserver.AuthConn, cfg *conf.Config) (*pgserver.Identity, error) {
	mode := cfg.General.PassthroughAuth
	if plain := mode == conf.PassthroughEnabledPlain || mode == conf.PassthroughEnabledPlainAllowChange; !plain && c.TLS() == nil && !c.Local() {
		return nil, &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeInvalidAuthorization, Message: "this proxy takes passwords over TLS only",
			Hint: "Connect with sslmode=require; or set passthrough_auth to enabled_plain.",
		}
	}
	body, err := c.Ask(&wire.AuthenticationCleartextPassword{}, wire.MaxAuthToken)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	var m wire.PasswordMessage
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	user, database := c.User(), c.Database()
	known, ok := a.Keys.get(user, database)
	ok = ok && known.Password != ""
	if ok && subtle.ConstantTimeCompare([]byte(known.Password), []byte(m.Password)) == 1 {
		return verdict(c, true, "password")
	}
	if m.Password == "" || ok && mode != conf.PassthroughEnabledAllowChange && mode != conf.PassthroughEnabledPlainAllowChange {
		return verdict(c, false, "password")
	}
	if err := a.Fleet.Try(ctx, cfg, user, database, m.Password); err != nil {
		if refused(err) {
			return nil, auth.PasswordFailed(user, "no server takes the password: "+err.Error())
		}
		a.Fleet.log.Warn("try a client's password", "user", user, "database", database, "error", err)
		return nil, wire.Errorf(wire.CodeConnectionFailure, "the proxy cannot find out who %q is", user)
	}
	a.Keys.put(user, database, pool.Credentials{Password: m.Password})
	return verdict(c, true, "password")
}

// refused says that it is the user whom a server did not let in, or that there is no such
// database.
func refused(err error) bool {
	if errors.Is(err, errNoServer) {
		return true
	}
	e, ok := errors.AsType[*wire.Error](err)
	return ok && (e.Code.Class() == "28" || e.Code.Class() == "3D")
}
