package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// loadProxy loads with nothing around but env.
func loadProxy(t *testing.T, o ProxyOptions, env map[string]string) (*Proxy, error) {
	t.Helper()
	o.Environ = lookupIn(env)
	for name := range env {
		o.Names = append(o.Names, name)
	}
	return LoadProxy(o)
}

// ours are keys that PgDog has not.
var ours = map[string]bool{
	"Config.Peers":     true,
	"Config.PgBouncer": true, "Database.ReservePoolSize": true, "Database.MaxDBConnections": true, "Database.AuthUser": true,
	"Database.ConnectQuery": true, "Database.Parameters": true, "User.ReservePoolSize": true, "User.MaxUserConnections": true,
	"User.MaxUserClientConnections": true, "General.Transport": true, "ShardedTable.Columns": true, "Plugin.Path": true,
	"Mapping.Start": true, "Mapping.End": true, // [[sharded_mappings]] has them in the file
}

// TestPgDogEveryKey reads files in which every key of PgDog's has a value, and checks that
// each arrived in its field.
func TestPgDogEveryKey(t *testing.T) {
	p, err := loadProxy(t, ProxyOptions{Options: Options{Dir: "testdata/pgdog"}, PgDog: "pgdog.toml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{} // fields that have another value than the default somewhere
	var walk func(v, def reflect.Value)
	walk = func(v, def reflect.Value) {
		for i := range v.NumField() {
			f := v.Field(i)
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			if _, ok := seen[name]; !ok {
				seen[name] = false
			}
			d := reflect.Zero(f.Type())
			if def.IsValid() {
				d = def.Field(i)
			}
			if !reflect.DeepEqual(f.Interface(), d.Interface()) {
				seen[name] = true
			}
			switch {
			case f.Kind() == reflect.Struct:
				walk(f, d)
			case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
				for j := range f.Len() {
					walk(f.Index(j), reflect.Value{})
				}
			}
		}
	}
	walk(reflect.ValueOf(p.Config), reflect.ValueOf(conf.PgDogDefaults()))
	for name, changed := range seen {
		if strings.HasPrefix(name, "PgBouncer.") || ours[name] {
			continue
		}
		// Values that are the default on purpose.
		if name == "Database.ReshardingOnly" {
			continue
		}
		if !changed {
			t.Errorf("%s was not set by testdata/pgdog", name)
		}
	}
	g := p.General
	for _, d := range []struct {
		name      string
		got, want time.Duration
	}{
		{"healthcheck_interval", g.HealthcheckInterval, time.Second},
		{"ban_replica_lag", g.BanReplicaLag, 1005 * time.Millisecond},
		{"wal_checkpoint_interval", g.TwoPhaseCommitWALCheckpointInterval.Duration(), 30 * time.Second},
		{"statement_timeout", *p.Databases[0].StatementTimeout, time.Second},
	} {
		if d.got != d.want {
			t.Errorf("%s is %v, want %v", d.name, d.got, d.want)
		}
	}
	if got := p.ShardedMappings[1].Values; !cmp.Equal(got, []conf.Value{"100", "101"}) {
		t.Errorf("values are %q", got)
	}
	var warned []string
	unused := 0
	for _, w := range p.Warnings {
		if strings.Contains(w.Msg, "has no effect") {
			unused++
			continue
		}
		warned = append(warned, w.Key)
	}
	if unused == 0 {
		t.Error("no key is said to have no effect yet, so nothing shows that they are told")
	}
	want := []string{
		"otel", "vault", "control", "qos", "manual_queries", "general.broadcast_address", "users[0].replication_sharding",
		"users[0].server_auth", "users[0].vault_path",
		"users[1].password_hash", "sharded_tables[5].mapping",
	}
	if diff := cmp.Diff(want, warned); diff != "" {
		t.Errorf("warnings (-want +got):\n%s\n%v", diff, p.Warnings)
	}
}

func TestPgDogMistakes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pgdog.toml", `
[general]
prot = 6432
checkout_timeout = "soon"
pooler_mode = "transactions"
idle_timeout = -1

[[databases]]
name = "app"
hots = "10.0.0.1"
lb_weight = 256

[sharded_table]
`)
	write(t, dir, "users.toml", "[[users]]\nname = \"a\"\n\n[general]\nport = 1\n")
	_, err := loadProxy(t, ProxyOptions{Options: Options{Dir: dir}, PgDog: "pgdog.toml"}, map[string]string{
		"PGDOG_WORKERS": "many", "PGX_DEV_PROXY_GENERAL_PROT": "1",
	})
	want := []string{
		"pgdog.toml:3: general.prot: unknown key; did you mean general.port?",
		`users.toml:4: general: unknown section; known here: admin, users`,
		`pgdog.toml:4: general.checkout_timeout: want a duration such as 90s or 5m, have "soon"`,
		`pgdog.toml:5: general.pooler_mode: want one of transaction, session, statement, have "transactions"`,
		"pgdog.toml:6: general.idle_timeout: want a number of milliseconds, have -1",
		"pgdog.toml:10: databases[0].hots: unknown key; did you mean host?",
		"pgdog.toml:11: databases[0].lb_weight: 256 is out of range",
		`pgdog.toml:13: sharded_table: unknown section; did you mean sharded_tables?`,
		"$PGX_DEV_PROXY_GENERAL_PROT: no such key; did you mean PGX_DEV_PROXY_GENERAL_PORT?",
		"$PGDOG_WORKERS: proxy.general.workers: want a number, have \"many\"",
	}
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPgDogPlaces checks that what Validate finds is told with file and line.
func TestPgDogPlaces(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pgdog.toml", `[general]
min_pool_size = 30

[[databases]]
name = "app"
host = "a"

[[databases]]
name = "app"
host = "b"
`)
	write(t, dir, "users.toml", `[[users]]
name = "x"
password = "topsecret"

[[users]]
name = "y"
database = "ap"
password = "topsecret"
`)
	_, err := loadProxy(t, ProxyOptions{Options: Options{Dir: dir}, PgDog: "pgdog.toml"}, map[string]string{"PGDOG_DEFAULT_POOL_SIZE": "0"})
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`users.toml:1: users[0].database: user "x" has no database: set database, databases or all_databases`,
		`users.toml:7: users[1].database: there is no database "ap"; there are app`,
		`pgdog.toml:8: databases[1].role: shard 0 of "app" has a primary already (databases[0]); give one of them the role replica or auto`,
		`$PGDOG_DEFAULT_POOL_SIZE: general.default_pool_size: must be at least 1, have 0`,
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "topsecret") {
		t.Error("the error holds a password")
	}
}

func TestPgDogLayers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pgdog.toml", "[general]\nport = 1\nworkers = 3\nquery_timeout = 9223372036854775807\nlsn_check_delay = 9223372036854775807\n")
	p, err := loadProxy(t, ProxyOptions{
		Options: Options{Dir: dir, Set: []string{"proxy.general.port=3"}},
		PgDog:   "pgdog.toml",
		URLs:    []string{"postgres://u:p@h:6000/d?role=replica&shard=0"},
	}, map[string]string{"PGDOG_PORT": "2", "PGDOG_WORKERS": "5", "PGX_DEV_PROXY_GENERAL_WORKERS": "6", "PGDOG_LOG_CONNECTIONS": "no", "PGDOG_IDLE_TIMEOUT": "70", "PGDOG_PROT": "1"})
	if err != nil {
		t.Fatal(err)
	}
	g := p.General
	if g.Port != 3 || g.Workers != 6 || g.LogConnections || g.IdleTimeout != 70*time.Millisecond || g.Host != "0.0.0.0" {
		t.Errorf("port %d, workers %d, log_connections %v, idle_timeout %v, host %s", g.Port, g.Workers, g.LogConnections, g.IdleTimeout, g.Host)
	}
	if g.QueryTimeout != 0 || g.LSNCheckDelay != nil {
		t.Errorf("PgDog's no limit is %v, %v", g.QueryTimeout, g.LSNCheckDelay)
	}
	if want := []conf.Database{{Name: "d", Host: "h", Port: 6000, Role: conf.Replica}}; !cmp.Equal(p.Databases, want) {
		t.Error(cmp.Diff(want, p.Databases))
	}
	if len(p.Warnings) == 0 || p.Warnings[0].String() != "$PGDOG_PROT: is no setting's variable and has no effect; did you mean PGDOG_PORT?" {
		t.Errorf("warnings %v", p.Warnings)
	}
}

// TestProxySection checks that [proxy] takes the same keys, durations in both forms.
func TestProxySection(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, Name, `[proxy.general]
checkout_timeout = "3s"
idle_timeout = 2500
tls_certificate = "c.pem"
tls_private_key = "/k.pem"

[[proxy.databases]]
name = "app"
host = "127.0.0.1"
idle_timeout = "1m"

[[proxy.users]]
name = "u"
database = "app"
passwords = ["topsecret"]
password_hash = "x"
`)
	_, err := loadProxy(t, ProxyOptions{Options: Options{Dir: dir}}, nil)
	if want := `pgx-dev.toml:16: proxy.users[0].password_hash: is no SCRAM verifier; "pgx-dev proxy hash" makes one`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	c, err := tryLoad(t, "[proxy.general]\ncheckout_timeout = \"3s\"\nidle_timeout = 2500\n[[proxy.databases]]\nname = \"app\"\nhost = \"h\"\npassword = \"topsecret\"\n[[proxy.users]]\nname = \"u\"\ndatabase = \"app\"\npasswords = [\"topsecret\"]", nil, []string{"proxy.general.ban_timeout=90"})
	if err != nil {
		t.Fatal(err)
	}
	g := c.Proxy.General
	if g.CheckoutTimeout != 3*time.Second || g.IdleTimeout != 2500*time.Millisecond || g.BanTimeout != 90*time.Millisecond {
		t.Errorf("checkout_timeout %v, idle_timeout %v, ban_timeout %v", g.CheckoutTimeout, g.IdleTimeout, g.BanTimeout)
	}
	for _, s := range c.Settings() {
		if strings.Contains(s.Text(), "topsecret") {
			t.Errorf("config show would show a password: %s = %s", s.Key, s.Text())
		}
	}
	if _, err := tryLoad(t, "[lease]\ndrain = 5", nil, nil); err == nil {
		t.Error("other sections take numbers for durations")
	}
}

func TestPgBouncerFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pgbouncer.ini", "[databases]\napp = host=h dbname=app_1\n[pgbouncer]\nauth_type = scram-sha-256\nauth_file = userlist.txt\n%include more.ini\n")
	write(t, dir, "more.ini", "default_pool_size = 9\nlogfile = x\n")
	write(t, dir, "userlist.txt", "\"u\" \"p\"\n")
	p, err := loadProxy(t, ProxyOptions{Options: Options{Dir: dir}, PgBouncer: "pgbouncer.ini"}, map[string]string{"PGDOG_PORT": "7777"})
	if err != nil {
		t.Fatal(err)
	}
	if p.General.DefaultPoolSize != 9 || p.General.Port != 7777 || len(p.Users) != 1 || p.Users[0].Password != "p" || len(p.Files) != 3 {
		t.Errorf("got %+v, files %v", p.Config, p.Files)
	}
	write(t, dir, "more.ini", "default_pool_sise = 9\nmin_pool_size=x\n")
	_, err = loadProxy(t, ProxyOptions{Options: Options{Dir: dir}, PgBouncer: "pgbouncer.ini"}, nil)
	if want := "more.ini:1: unknown option default_pool_sise; did you mean default_pool_size?\nmore.ini:2: min_pool_size: want a number, have \"x\""; err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}
