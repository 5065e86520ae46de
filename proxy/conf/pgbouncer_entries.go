package conf

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// finish works out what needs the whole of the files: users and databases.
func (p *bouncerParser) finish() {
	p.tls()
	if p.authFile.value != "" {
		p.userlist(p.authFile)
	}
	for _, name := range p.order {
		p.c.Users = append(p.c.Users, userOf(name, p.secrets[name]))
	}
	for _, e := range p.users {
		p.name, p.line = e.file, e.line
		p.user(e)
	}
	for _, e := range p.databases {
		p.name, p.line = e.file, e.line
		p.database(e)
	}
	// PgBouncer's md5 uses SCRAM for users whose secret is a verifier.
	if p.c.General.AuthType == AuthMD5 {
		for i := range p.c.Users {
			if strings.HasPrefix(p.c.Users[i].PasswordHash, "SCRAM-SHA-256$") {
				p.c.Users[i].AuthType = AuthSCRAM
			}
		}
	}
}

// tls decides what the modes mean once the files are known.
func (p *bouncerParser) tls() {
	g := &p.c.General
	switch p.clientTLS {
	case "", "disable":
		g.TLSCertificate, g.TLSPrivateKey = "", ""
	case "require":
		g.TLSClientRequired = true
	case "verify-ca", "verify-full":
		g.TLSClientRequired = true
		g.TLSClientCACertificate = p.clientCA
	}
	switch p.serverTLS {
	case "disable":
		g.TLSVerify = TLSDisabled
	case "require":
		g.TLSVerify = TLSRequire
	case "verify-ca":
		g.TLSVerify = TLSVerifyCA
	case "verify-full":
		g.TLSVerify = TLSVerifyFull
	}
}

// userOf returns the entry of a user of the auth_file.
func userOf(name, secret string) User {
	u := User{Name: name, AllDatabases: true}
	switch {
	case strings.HasPrefix(secret, "SCRAM-SHA-256$"), len(secret) == 35 && strings.HasPrefix(secret, "md5"):
		u.PasswordHash = secret
	default:
		u.Password = secret
	}
	return u
}

// user takes a line of [users].
func (p *bouncerParser) user(e iniEntry) {
	var u *User
	for i := range p.c.Users {
		if p.c.Users[i].Name == e.key {
			u = &p.c.Users[i]
		}
	}
	if u == nil {
		p.c.Users = append(p.c.Users, User{Name: e.key, AllDatabases: true})
		u = &p.c.Users[len(p.c.Users)-1]
	}
	p.connection(e.value, func(key, value string) {
		var err error
		switch key {
		case "pool_mode":
			err = u.PoolerMode.UnmarshalText([]byte(value))
		case "pool_size":
			u.PoolSize, err = optional(value)
		case "reserve_pool_size":
			u.ReservePoolSize, err = optional(value)
		case "max_user_connections":
			u.MaxUserConnections, err = optional(value)
		case "max_user_client_connections":
			u.MaxUserClientConnections, err = optional(value)
		case "query_timeout", "idle_transaction_timeout", "transaction_timeout", "client_idle_timeout":
			p.warn("[users] "+key, "has no counterpart for single users and is ignored; the one of [pgbouncer] holds")
		default:
			err = fmt.Errorf("unknown setting%s", p.meant(key, "pool_mode", "pool_size", "reserve_pool_size", "max_user_connections", "max_user_client_connections"))
		}
		if err != nil {
			p.errorf("user %s: %s: %w", e.key, key, err)
		}
	})
}

func (p *bouncerParser) meant(word string, candidates ...string) string {
	if near := p.nearest(word, candidates); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func optional(value string) (*int, error) {
	n, err := number(value)
	return &n, err
}

// database takes a line of [databases].
func (p *bouncerParser) database(e iniEntry) {
	if e.key == "*" {
		p.warn("[databases] *", "is not supported: name each database")
		return
	}
	d := Database{Name: e.key}
	hosts, ports := "", ""
	p.connection(e.value, func(key, value string) {
		var err error
		switch key {
		case "host":
			hosts = value
		case "port":
			ports = value
		default:
			err = p.databaseKey(&d, key, value)
		}
		if err != nil {
			p.errorf("database %s: %s: %w", e.key, key, err)
		}
	})
	if d.User != "" && d.Password == "" {
		if u := userOf(d.User, p.secrets[d.User]); u.Password != "" {
			d.Password = u.Password
		}
	}
	p.servers(d, hosts, ports)
}

// servers adds a server for each host.
func (p *bouncerParser) servers(d Database, hosts, ports string) {
	all, numbers := strings.Split(hosts, ","), strings.Split(ports, ",")
	if hosts == "" {
		all = []string{p.c.PgBouncer.UnixSocketDir}
	}
	if len(all) > 1 {
		d.Role = Auto
		p.warn("[databases] host", "several servers: which one is the primary is asked of them; PgBouncer would use each for everything")
	}
	for i, host := range all {
		d.Host = strings.TrimSpace(host)
		text := numbers[0]
		if len(numbers) == len(all) {
			text = numbers[i]
		}
		if text != "" {
			n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
			if err != nil || n == 0 {
				p.errorf("database %s: %q is no port", d.Name, text)
			}
			d.Port = uint16(n)
		}
		p.c.Databases = append(p.c.Databases, d)
	}
}

func (p *bouncerParser) databaseKey(d *Database, key, value string) (err error) {
	switch key {
	case "dbname":
		d.DatabaseName = value
	case "user":
		d.User = value
	case "password":
		d.Password = value
	case "auth_user":
		d.AuthUser = value
	case "pool_size":
		d.PoolSize, err = optional(value)
	case "min_pool_size":
		d.MinPoolSize, err = optional(value)
	case "reserve_pool_size":
		d.ReservePoolSize, err = optional(value)
	case "max_db_connections":
		d.MaxDBConnections, err = optional(value)
	case "pool_mode":
		err = d.PoolerMode.UnmarshalText([]byte(value))
	case "connect_query":
		d.ConnectQuery = value
	case "server_lifetime":
		n, nerr := strconv.ParseFloat(value, 64)
		if nerr != nil || n < 0 || n > 1e9 {
			return fmt.Errorf("want a number of seconds, have %q", value)
		}
		t := time.Duration(n * float64(time.Second))
		d.ServerLifetime = &t
	case "client_encoding", "datestyle", "timezone", "application_name":
		if d.Parameters == nil {
			d.Parameters = map[string]string{}
		}
		d.Parameters[key] = value
	case "auth_query", "auth_dbname", "max_db_client_connections", "load_balance_hosts":
		p.warn("[databases] "+key, "has no counterpart for single databases and is ignored; the one of [pgbouncer] holds")
	default:
		return fmt.Errorf("unknown setting%s", p.meant(key, "dbname", "host", "port", "user", "password", "auth_user", "pool_size",
			"min_pool_size", "reserve_pool_size", "max_db_connections", "pool_mode", "connect_query", "application_name"))
	}
	return err
}

// peer takes a line of [peers].
func (p *bouncerParser) peer(e iniEntry) {
	id, err := strconv.Atoi(e.key)
	if err != nil || id < 1 || id > MaxPeer {
		p.errorf("peer %s: want a number from 1 to %d", e.key, MaxPeer)
		return
	}
	peer := Peer{ID: id}
	p.connection(e.value, func(key, value string) {
		var err error
		switch key {
		case "host":
			peer.Host = value
		case "port":
			var n uint64
			n, err = strconv.ParseUint(value, 10, 16)
			peer.Port = uint16(n)
		case "pool_size":
			peer.PoolSize, err = number(value)
		default:
			err = fmt.Errorf("unknown setting%s", p.meant(key, "host", "port", "pool_size"))
		}
		if err != nil {
			p.errorf("peer %s: %s: %w", e.key, key, err)
		}
	})
	if peer.Host == "" {
		peer.Host = p.c.PgBouncer.UnixSocketDir
	}
	p.c.Peers = append(p.c.Peers, peer)
}
