package fleet

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/reshard"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// Movable returns a database of a configuration as something whose rows can be moved: the primary of each
// shard, with the login of the user who has schema_admin, or else of the first one of the database.
func Movable(c *conf.Config, database string) (reshard.Database, error) {
	out := reshard.Database{Name: database}
	n := c.Shards(database)
	if n == 0 {
		return out, fmt.Errorf("there is no database %q in the configuration", database)
	}
	var u *conf.User
	for i := range c.Users {
		if o := &c.Users[i]; o.MayUse(database) && (u == nil || o.SchemaAdmin && !u.SchemaAdmin) {
			u = o
		}
	}
	if u == nil {
		return out, fmt.Errorf("database %q has no user; give it one with schema_admin = true in [[users]]", database)
	}
	cfg, err := shards.Layout(c, database)
	if err == nil {
		out.Layout, err = sharding.Compile(cfg)
	}
	if err != nil {
		return out, fmt.Errorf("database %q: %w", database, err)
	}
	certs, err := serverTLS(&c.General)
	if err != nil {
		return out, err
	}
	for shard := range n {
		d, err := primaryOf(c, database, shard)
		if err != nil {
			return out, err
		}
		s, err := movableServer(c, u, d, certs)
		if err != nil {
			return out, err
		}
		out.Shards = append(out.Shards, s)
	}
	return out, nil
}

// primaryOf is the entry of a shard's primary.
func primaryOf(c *conf.Config, database string, shard int) (*conf.Database, error) {
	var found *conf.Database
	for i := range c.Databases {
		d := &c.Databases[i]
		if d.Name != database || d.Shard != shard || d.ReshardingOnly || d.ServerRole() == conf.Replica {
			continue
		}
		if found == nil || d.ServerRole() == conf.Primary && found.ServerRole() == conf.Auto {
			found = d
		} else if d.ServerRole() == found.ServerRole() {
			return nil, fmt.Errorf("shard %d of %q has several servers that may be its primary: give one of them the role primary while its rows are moved", shard, database)
		}
	}
	if found == nil {
		return nil, fmt.Errorf("shard %d of %q has no primary", shard, database)
	}
	return found, nil
}

// movableServer says how to log in at a server.
func movableServer(c *conf.Config, u *conf.User, d *conf.Database, certs *tls.Config) (reshard.Server, error) {
	login := c.Pool(u, d, conf.Primary)
	// Nothing of the process's own environment counts.
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 sslmode=disable target_session_attrs=any")
	if err != nil {
		return reshard.Server{}, fmt.Errorf("make a configuration: %w", err)
	}
	cfg.Host, cfg.Port = d.Host, d.PortNumber()
	cfg.User, cfg.Password, cfg.Database = login.User, login.Password, login.Database
	cfg.Fallbacks, cfg.ValidateConnect, cfg.ConnectTimeout = nil, nil, c.General.ConnectTimeout
	cfg.RuntimeParams = map[string]string{}
	maps.Copy(cfg.RuntimeParams, d.Parameters)
	out := reshard.Server{Config: cfg, Passwords: login.Passwords, Env: []string{"PGSSLMODE=disable", "PGPASSFILE=/nonexistent"}}
	g := &c.General
	mode := g.TLSVerify
	if mode == "" {
		mode = conf.TLSPrefer
	}
	if strings.HasPrefix(d.Host, "/") || mode == conf.TLSDisabled {
		if mode != conf.TLSDisabled && mode != conf.TLSPrefer {
			return out, fmt.Errorf("tls_verify = %q cannot be kept on the Unix socket %s, where there is no TLS", mode, d.Host)
		}
		return out, nil
	}
	cfg.TLSConfig = certs.Clone()
	cfg.TLSConfig.ServerName = d.Host
	name := map[conf.TLSVerify]string{conf.TLSPrefer: "prefer", conf.TLSRequire: "require", conf.TLSVerifyCA: "verify-ca", conf.TLSVerifyFull: "verify-full"}[mode]
	out.Env[0] = "PGSSLMODE=" + name
	for key, path := range map[string]string{"PGSSLROOTCERT": g.TLSServerCACertificate, "PGSSLCERT": g.TLSServerCertificate, "PGSSLKEY": g.TLSServerPrivateKey} {
		if path != "" {
			out.Env = append(out.Env, key+"="+path)
		}
	}
	switch mode {
	case conf.TLSPrefer:
		cfg.Fallbacks = []*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port}}
		cfg.TLSConfig.InsecureSkipVerify = true
	case conf.TLSRequire:
		cfg.TLSConfig.InsecureSkipVerify = true
	case conf.TLSVerifyCA:
		cfg.TLSConfig.InsecureSkipVerify = true // but for the name
		roots := cfg.TLSConfig.RootCAs
		cfg.TLSConfig.VerifyConnection = func(cs tls.ConnectionState) error {
			o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, cert := range cs.PeerCertificates[1:] {
				o.Intermediates.AddCert(cert)
			}
			_, err := cs.PeerCertificates[0].Verify(o)
			return err
		}
	}
	return out, nil
}
