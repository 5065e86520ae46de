package conf

import (
	"fmt"
	"strconv"
	"time"
)

// PgBouncer is what PgBouncer has and PgDog has not, under PgBouncer's names.
type PgBouncer struct {
	// MaxClientConn limits the clients of the whole proxy. Default: 0, no limit.
	MaxClientConn int `toml:"max_client_conn"`
	// MaxDBConnections limits the connections of all users to one server. Default: 0, no
	// limit.
	MaxDBConnections int `toml:"max_db_connections"`
	// MaxDBClientConnections limits the clients of one database. Default: 0, no limit.
	MaxDBClientConnections int `toml:"max_db_client_connections"`
	// MaxUserConnections limits one user's connections to all servers. Default: 0, no limit.
	MaxUserConnections int `toml:"max_user_connections"`
	// MaxUserClientConnections limits one user's clients. Default: 0, no limit.
	MaxUserClientConnections int `toml:"max_user_client_connections"`
	// ReservePoolSize is how many connections a pool may open beyond its size for clients
	// that have waited long. Default: 0, none.
	ReservePoolSize int `toml:"reserve_pool_size"`
	// ReservePoolTimeout is how long that is. Default: 5s.
	ReservePoolTimeout time.Duration `toml:"reserve_pool_timeout"`
	// QueryWaitNotify tells a client that waits for this long that it does, by a notice; on
	// several shards nobody is told. Default: 0s, never.
	QueryWaitNotify time.Duration `toml:"query_wait_notify"`
	// TransactionTimeout is how long a transaction may last. Default: 0s, no limit.
	TransactionTimeout time.Duration `toml:"transaction_timeout"`
	// ServerResetQuery is run when a session-mode client leaves. What another one than DISCARD
	// ALL leaves, but for parameters and prepared statements, the next client finds. Default:
	// DISCARD ALL.
	ServerResetQuery string `toml:"server_reset_query"`
	// ServerResetQueryAlways runs it in the other modes too. Default: false.
	ServerResetQueryAlways bool `toml:"server_reset_query_always"`
	// IgnoreStartupParameters are parameters of clients that are dropped. Default: none.
	IgnoreStartupParameters []string `toml:"ignore_startup_parameters"`
	// ApplicationNameAddHost adds the client's address to its application_name. Default:
	// false.
	ApplicationNameAddHost bool `toml:"application_name_add_host"`

	// AuthFile has lines of "user" "password or verifier": users of every database, but for
	// those who have an entry. Default: none.
	AuthFile string `toml:"auth_file"`
	// AuthHBAFile has rules in pg_hba.conf's syntax, for auth_type hba. Default: none.
	AuthHBAFile string `toml:"auth_hba_file"`
	// AuthLDAPOptions are the options of a rule with method ldap, as pg_hba.conf has them, for
	// auth_type ldap. Default: none.
	AuthLDAPOptions string `toml:"auth_ldap_options"`
	// AuthIdentFile has name maps in pg_ident.conf's syntax. Default: none.
	AuthIdentFile string `toml:"auth_ident_file"`
	// AuthQuery returns the name and secret of a user ($1) who has no entry. Default: those of
	// pg_authid, of roles that may log in and whose password has not expired.
	AuthQuery string `toml:"auth_query"`
	// AuthUser runs auth_query; he needs an entry. Default: none, it is not run.
	AuthUser string `toml:"auth_user"`
	// AuthDBName is the database to run it in. Default: the client's.
	AuthDBName string `toml:"auth_dbname"`

	// AdminUsers may do everything in the admin database, besides admin.user. Default: none.
	AdminUsers []string `toml:"admin_users"`
	// StatsUsers may SHOW things there. Default: none.
	StatsUsers []string `toml:"stats_users"`

	// UnixSocketDir is a directory to put a Unix socket into, besides host and port, unless --listen
	// says where to listen. With @ in front it is the beginning of a name without a file (Linux), at
	// which anybody on the machine may connect. Default: none.
	UnixSocketDir string `toml:"unix_socket_dir"`
	// UnixSocketMode is its permissions, in octal. Default: 0600.
	UnixSocketMode string `toml:"unix_socket_mode"`
	// PeerID is the proxy's own number among its [[peers]], 1 to 1023. Default: 0, it has none, and
	// cancel requests that are not for its clients are dropped.
	PeerID int `toml:"peer_id"`
	// SoReuseport lets several proxies listen on the same port. Default: false.
	SoReuseport bool `toml:"so_reuseport"`
}

func defaultPgBouncer() PgBouncer {
	return PgBouncer{
		ReservePoolTimeout: 5 * time.Second,
		ServerResetQuery:   "DISCARD ALL",
		AuthQuery: "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END" +
			" FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin",
		UnixSocketMode: "0600",
	}
}

// SocketMode returns the permissions of the Unix socket.
func (p *PgBouncer) SocketMode() (uint32, error) {
	if p.UnixSocketMode == "" {
		return 0o600, nil
	}
	n, err := strconv.ParseUint(p.UnixSocketMode, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("want permissions in octal such as 0600, have %q", p.UnixSocketMode)
	}
	return uint32(n), nil
}
