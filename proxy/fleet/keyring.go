package fleet

import (
	"context"
	"sync"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// A Keyring remembers what clients have proved when they logged in, so that the proxy can log in
// at the servers as them: passwords that they gave in the clear, or the keys of a SCRAM exchange.
// It is in memory only. The zero value is empty and ready; it is safe for concurrent use.
type Keyring struct {
	mu   sync.Mutex
	keys map[pair]pool.Credentials
}

// maxKeys bounds the pairs of user and database.
const maxKeys = 1 << 16

func (k *Keyring) get(user, database string) (pool.Credentials, bool) {
	if k == nil {
		return pool.Credentials{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.keys[pair{user, database}]
	return c, ok
}

func (k *Keyring) put(user, database string, c pool.Credentials) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[pair]pool.Credentials{}
	}
	p := pair{user, database}
	if _, ok := k.keys[p]; !ok && len(k.keys) >= maxKeys {
		for other := range k.keys { // who is forgotten has to log in again before new connections are made
			delete(k.keys, other)
			break
		}
	}
	k.keys[p] = c
}

// fetch returns a pool's Fetch for who has logged in as a user of a database. Of one who has
// not, or not by what a server would take too, it knows nothing: some servers want no more.
func (k *Keyring) fetch(user, database string) func(context.Context) (pool.Credentials, error) {
	return func(context.Context) (pool.Credentials, error) {
		c, _ := k.get(user, database)
		return c, nil
	}
}

// userOf returns the entry of a user: of the configuration, or, for one who has logged in
// without one, a new one.
func userOf(c *conf.Config, k *Keyring, user, database string) (*conf.User, bool) {
	if u, ok := c.User(user, database); ok {
		return u, true
	}
	if _, ok := k.get(user, database); ok && open(c, database) {
		return &conf.User{Name: user, Database: database}, true
	}
	return nil, false
}

// open says that users without an entry may log in to a database.
func open(c *conf.Config, database string) bool {
	by := c.AuthTypeOf(nil)
	return passes(c) || authUser(c, database) != "" || by == conf.AuthHBA || by == conf.AuthLDAP
}

// passes says that clients' passwords are handed to the servers.
func passes(c *conf.Config) bool {
	return c.General.PassthroughAuth != "" && c.General.PassthroughAuth != conf.PassthroughDisabled
}

// authUser is who runs auth_query for users of a database; "" if nobody does.
func authUser(c *conf.Config, database string) string {
	found := false
	for i := range c.Databases {
		if d := &c.Databases[i]; d.Name == database && !d.ReshardingOnly {
			if d.AuthUser != "" {
				return d.AuthUser
			}
			found = true
		}
	}
	if !found {
		return ""
	}
	return c.PgBouncer.AuthUser
}
