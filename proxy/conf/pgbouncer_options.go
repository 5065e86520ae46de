package conf

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pgBouncerDefaults are PgBouncer's, where they differ from PgDog's.
func pgBouncerDefaults() Config {
	c := DefaultConfig()
	g, p := &c.General, &c.PgBouncer
	g.PoolerMode = Session
	g.DefaultPoolSize, g.MinPoolSize = 20, 0
	g.IdleTimeout, g.ServerLifetime = 10*time.Minute, time.Hour
	g.ConnectTimeout, g.CheckoutTimeout = 15*time.Second, 2*time.Minute
	g.StatsPeriod = time.Minute
	g.PreparedStatementsLimit = 200
	g.AuthType = AuthMD5
	p.MaxClientConn = 100
	p.QueryWaitNotify = 5 * time.Second
	p.UnixSocketDir, p.UnixSocketMode = "/tmp", "0777"
	c.Admin.Name = "pgbouncer"
	return c
}

// An option sets one of PgBouncer's options.
type option func(p *bouncerParser, value string) error

func seconds(at func(c *Config) *time.Duration) option {
	return func(p *bouncerParser, value string) error {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || n < 0 || n > 1e9 {
			return fmt.Errorf("want a number of seconds, have %q", value)
		}
		*at(&p.c) = time.Duration(n * float64(time.Second))
		return nil
	}
}

func millis(at func(c *Config) *time.Duration) option {
	return func(p *bouncerParser, value string) error {
		n, err := number(value)
		*at(&p.c) = time.Duration(n) * time.Millisecond
		return err
	}
}

func count(at func(c *Config) *int) option {
	return func(p *bouncerParser, value string) error {
		n, err := number(value)
		*at(&p.c) = n
		return err
	}
}

func number(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 1<<31-1 {
		return 0, fmt.Errorf("want a number, have %q", value)
	}
	return n, nil
}

func word(at func(c *Config) *string) option {
	return func(p *bouncerParser, value string) error {
		*at(&p.c) = value
		return nil
	}
}

func flag(at func(c *Config) *bool) option {
	return func(p *bouncerParser, value string) error {
		b, err := boolean(value)
		*at(&p.c) = b
		return err
	}
}

func boolean(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true", "t", "y":
		return true, nil
	case "0", "off", "no", "false", "f", "n":
		return false, nil
	}
	return false, fmt.Errorf("want 0 or 1, have %q", value)
}

func list(at func(c *Config) *[]string) option {
	return func(p *bouncerParser, value string) error {
		var out []string
		for w := range strings.SplitSeq(value, ",") {
			if w = strings.TrimSpace(w); w != "" {
				out = append(out, w)
			}
		}
		*at(&p.c) = out
		return nil
	}
}

// same is for options whose effect is always there.
func same(*bouncerParser, string) error { return nil }

// options are those that mean the same here.
func options() map[string]option {
	type t = *time.Duration
	return map[string]option{
		"listen_addr":                 listenAddr,
		"listen_port":                 listenPort,
		"unix_socket_dir":             word(func(c *Config) *string { return &c.PgBouncer.UnixSocketDir }),
		"unix_socket_mode":            word(func(c *Config) *string { return &c.PgBouncer.UnixSocketMode }),
		"peer_id":                     count(func(c *Config) *int { return &c.PgBouncer.PeerID }),
		"so_reuseport":                flag(func(c *Config) *bool { return &c.PgBouncer.SoReuseport }),
		"pool_mode":                   poolMode,
		"default_pool_size":           count(func(c *Config) *int { return &c.General.DefaultPoolSize }),
		"min_pool_size":               count(func(c *Config) *int { return &c.General.MinPoolSize }),
		"reserve_pool_size":           count(func(c *Config) *int { return &c.PgBouncer.ReservePoolSize }),
		"reserve_pool_timeout":        seconds(func(c *Config) t { return &c.PgBouncer.ReservePoolTimeout }),
		"max_client_conn":             count(func(c *Config) *int { return &c.PgBouncer.MaxClientConn }),
		"max_db_connections":          count(func(c *Config) *int { return &c.PgBouncer.MaxDBConnections }),
		"max_db_client_connections":   count(func(c *Config) *int { return &c.PgBouncer.MaxDBClientConnections }),
		"max_user_connections":        count(func(c *Config) *int { return &c.PgBouncer.MaxUserConnections }),
		"max_user_client_connections": count(func(c *Config) *int { return &c.PgBouncer.MaxUserClientConnections }),
		"server_idle_timeout":         seconds(func(c *Config) t { return &c.General.IdleTimeout }),
		"server_lifetime":             serverLifetime,
		"server_connect_timeout":      seconds(func(c *Config) t { return &c.General.ConnectTimeout }),
		"server_check_delay":          seconds(func(c *Config) t { return &c.General.HealthcheckInterval }),
		"server_check_query":          checkQuery,
		"server_reset_query":          word(func(c *Config) *string { return &c.PgBouncer.ServerResetQuery }),
		"server_reset_query_always":   flag(func(c *Config) *bool { return &c.PgBouncer.ServerResetQueryAlways }),
		"query_timeout":               seconds(func(c *Config) t { return &c.General.QueryTimeout }),
		"query_wait_timeout":          seconds(func(c *Config) t { return &c.General.CheckoutTimeout }),
		"query_wait_notify":           seconds(func(c *Config) t { return &c.PgBouncer.QueryWaitNotify }),
		"client_idle_timeout":         seconds(func(c *Config) t { return &c.General.ClientIdleTimeout }),
		"client_login_timeout":        seconds(func(c *Config) t { return &c.General.ClientLoginTimeout }),
		"idle_transaction_timeout":    seconds(func(c *Config) t { return &c.General.ClientIdleInTransactionTimeout }),
		"transaction_timeout":         seconds(func(c *Config) t { return &c.PgBouncer.TransactionTimeout }),
		"max_prepared_statements":     maxPrepared,
		"ignore_startup_parameters":   list(func(c *Config) *[]string { return &c.PgBouncer.IgnoreStartupParameters }),
		"track_extra_parameters":      same, // every parameter is tracked
		"application_name_add_host":   flag(func(c *Config) *bool { return &c.PgBouncer.ApplicationNameAddHost }),
		"stats_period":                seconds(func(c *Config) t { return &c.General.StatsPeriod }),
		"admin_users":                 list(func(c *Config) *[]string { return &c.PgBouncer.AdminUsers }),
		"stats_users":                 list(func(c *Config) *[]string { return &c.PgBouncer.StatsUsers }),
		"log_connections":             flag(func(c *Config) *bool { return &c.General.LogConnections }),
		"log_disconnections":          flag(func(c *Config) *bool { return &c.General.LogDisconnections }),
		"tcp_keepalive":               flag(func(c *Config) *bool { return &c.TCP.Keepalive }),
		"tcp_keepidle":                seconds(func(c *Config) t { return &c.TCP.Time }),
		"tcp_keepintvl":               seconds(func(c *Config) t { return &c.TCP.Interval }),
		"tcp_keepcnt":                 count(func(c *Config) *int { return &c.TCP.Retries }),
		"tcp_user_timeout":            millis(func(c *Config) t { return &c.TCP.UserTimeout }),
		"pkt_buf":                     count(func(c *Config) *int { return &c.Memory.NetBuffer }),
		"auth_type":                   authType,
		"auth_file":                   authFile,
		"auth_ldap_options":           word(func(c *Config) *string { return &c.PgBouncer.AuthLDAPOptions }),
		"auth_hba_file":               word(func(c *Config) *string { return &c.PgBouncer.AuthHBAFile }),
		"auth_ident_file":             word(func(c *Config) *string { return &c.PgBouncer.AuthIdentFile }),
		"auth_query":                  word(func(c *Config) *string { return &c.PgBouncer.AuthQuery }),
		"auth_user":                   word(func(c *Config) *string { return &c.PgBouncer.AuthUser }),
		"auth_dbname":                 word(func(c *Config) *string { return &c.PgBouncer.AuthDBName }),
		"client_tls_sslmode":          func(p *bouncerParser, v string) error { p.clientTLS = v; return sslmode(v) },
		"client_tls_cert_file":        word(func(c *Config) *string { return &c.General.TLSCertificate }),
		"client_tls_key_file":         word(func(c *Config) *string { return &c.General.TLSPrivateKey }),
		"client_tls_ca_file":          func(p *bouncerParser, v string) error { p.clientCA = v; return nil },
		"server_tls_sslmode":          func(p *bouncerParser, v string) error { p.serverTLS = v; return sslmode(v) },
		"server_tls_cert_file":        word(func(c *Config) *string { return &c.General.TLSServerCertificate }),
		"server_tls_key_file":         word(func(c *Config) *string { return &c.General.TLSServerPrivateKey }),
		"server_tls_ca_file":          word(func(c *Config) *string { return &c.General.TLSServerCACertificate }),
		"verbose":                     verbose,
	}
}

// withoutCounterpart says what there is instead of options that are left out.
func withoutCounterpart() map[string]string {
	const log, nothing = "the log goes to stderr", "there is no such limit"
	return map[string]string{
		"logfile": log, "syslog": log, "syslog_facility": log, "syslog_ident": log,
		"log_stats": "ask the metrics endpoint or SHOW STATS", "log_pooler_errors": "errors are always logged",
		"pidfile": "a service manager knows the process", "user": "start it as the user it should be",
		"job_name": "", "service_name": "", "conffile": "",
		"unix_socket_group": "permissions are set by unix_socket_mode", "listen_backlog": "the system's limit holds",
		"tcp_defer_accept": "", "tcp_socket_buffer": "the system sizes them", "sbuf_loopcnt": "", "max_packet_size": nothing,
		"server_login_retry": "a server that fails is banned for general.ban_timeout", "server_fast_close": "RECONNECT replaces connections as they become free",
		"server_round_robin": "the connection used last is taken first", "cancel_wait_timeout": "cancel requests do not wait",
		"suspend_timeout": "", "scram_iterations": "\"pgx-dev proxy hash\" makes verifiers", "load_balance_hosts": "",
		"dns_max_ttl": "set general.dns_ttl", "dns_nxdomain_ttl": "", "dns_zone_check_period": "", "resolv_conf": "the system's resolver is used",
		"disable_pqexec": "", "auth_cert_user_map": "",
		"client_tls_protocols": "TLS 1.2 and later", "client_tls_ciphers": "Go's", "client_tls13_ciphers": "Go's", "client_tls_ecdhcurve": "Go's",
		"client_tls_dheparams": "Go's", "server_tls_protocols": "TLS 1.2 and later", "server_tls_ciphers": "Go's", "server_tls13_ciphers": "Go's",
	}
}

// option takes a line of [pgbouncer].
func (p *bouncerParser) option(e iniEntry) {
	key := strings.ToLower(e.key)
	known := options()
	if set, ok := known[key]; ok {
		if err := set(p, e.value); err != nil {
			p.errorf("%s: %w", key, err)
		}
		return
	}
	without := withoutCounterpart()
	if why, ok := without[key]; ok {
		msg := "has no counterpart and is ignored"
		if why != "" {
			msg += ": " + why
		}
		p.warn(key, "%s", msg)
		return
	}
	all := slices.Sorted(maps.Keys(known))
	all = append(all, slices.Sorted(maps.Keys(without))...)
	if near := p.nearest(key, all); near != "" {
		p.errorf("unknown option %s; did you mean %s?", key, near)
		return
	}
	p.errorf("unknown option %s", key)
}

func (p *bouncerParser) nearest(word string, candidates []string) string {
	if p.src.Nearest == nil {
		return ""
	}
	return p.src.Nearest(word, candidates)
}

func listenAddr(p *bouncerParser, value string) error {
	addrs := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	switch {
	case len(addrs) == 0:
		p.warn("listen_addr", "is empty: the loopback is listened on, besides the Unix socket")
		return nil
	case len(addrs) > 1:
		p.warn("listen_addr", "only the first address is listened on")
	}
	p.c.General.Host = addrs[0]
	if addrs[0] == "*" {
		p.c.General.Host = "0.0.0.0"
	}
	return nil
}

func listenPort(p *bouncerParser, value string) error {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return fmt.Errorf("want a port, have %q", value)
	}
	p.c.General.Port = uint16(n)
	return nil
}

func poolMode(p *bouncerParser, value string) error {
	return p.c.General.PoolerMode.UnmarshalText([]byte(value))
}

// serverLifetime: PgBouncer's 0 uses each connection once, ours never ends one.
func serverLifetime(p *bouncerParser, value string) error {
	err := seconds(func(c *Config) *time.Duration { return &c.General.ServerLifetime })(p, value)
	if err == nil && p.c.General.ServerLifetime == 0 {
		p.c.General.ServerLifetime = time.Nanosecond
	}
	return err
}

func checkQuery(p *bouncerParser, value string) error {
	if v := strings.ToLower(strings.Trim(value, "; ")); v != "" && v != "select 1" && v != "<empty>" {
		p.warn("server_check_query", "is ignored: connections are checked by an empty query")
	}
	return nil
}

func maxPrepared(p *bouncerParser, value string) error {
	n, err := number(value)
	if err != nil {
		return err
	}
	p.c.General.PreparedStatementsLimit = n
	if n == 0 {
		p.c.General.PreparedStatements = PreparedDisabled
	}
	return nil
}

func authFile(p *bouncerParser, value string) error {
	p.authFile = iniEntry{value: value, file: p.name, line: p.line}
	return nil
}

func authType(p *bouncerParser, value string) error {
	switch value {
	case "trust":
		p.c.General.AuthType = AuthTrust
	case "plain":
		p.c.General.AuthType = AuthPlain
	case "md5":
		p.c.General.AuthType = AuthMD5
	case "scram-sha-256":
		p.c.General.AuthType = AuthSCRAM
	case "hba":
		p.c.General.AuthType = AuthHBA
	case "ldap":
		p.c.General.AuthType = AuthLDAP
	case "cert", "any", "pam":
		return fmt.Errorf("%s is not supported; use scram-sha-256, md5, plain, trust, ldap or hba (whose rules may say cert)", value)
	default:
		return fmt.Errorf("want one of trust, plain, md5, scram-sha-256, ldap, hba, have %q", value)
	}
	return nil
}

func sslmode(value string) error {
	switch value {
	case "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
		return nil
	}
	return fmt.Errorf("want one of disable, allow, prefer, require, verify-ca, verify-full, have %q", value)
}

func verbose(p *bouncerParser, value string) error {
	n, err := number(value)
	if n > 0 {
		p.c.General.LogLevel = "debug"
	}
	return err
}
