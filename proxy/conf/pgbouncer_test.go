package conf

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func from(files map[string]string) PgBouncerSource {
	return PgBouncerSource{Read: func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}}
}

const verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

func TestPgBouncer(t *testing.T) {
	c, files, warnings, err := ParsePgBouncer("etc/pgbouncer.ini", from(map[string]string{
		"etc/pgbouncer.ini": `
;; databases
[databases]
app = host=10.0.0.1 port=5433 dbname=app_1 pool_size=30 pool_mode=transaction server_lifetime=60 connect_query='SELECT ''x''' application_name=pool
"big one" = host=a,b port=5432,6432 auth_user=asker
local = user=owner
forced = host=h user=alice
* = host=anywhere

[users]
alice = pool_mode=statement max_user_connections=5
carol = pool_size=3 query_timeout=5

[pgbouncer]
listen_addr = *
listen_port = 6543
unix_socket_dir = /run/pgb
auth_type = md5
auth_file = userlist.txt
auth_query = SELECT * FROM find($1)
auth_user = asker
default_pool_size = 40
server_idle_timeout = 1.5
query_wait_timeout = 0
idle_transaction_timeout = 30
max_prepared_statements = 0
server_tls_sslmode = require
client_tls_sslmode = verify-full
client_tls_cert_file = c.pem
client_tls_key_file = k.pem
client_tls_ca_file = ca.pem
ignore_startup_parameters = extra_float_digits, geqo
admin_users = root, boss
log_connections = 0
tcp_user_timeout = 250
server_check_query = select 2
logfile = /var/log/x
%include more.ini
`,
		"etc/more.ini":     "reserve_pool_size = 4\nlogfile = again\npeer_id = 2\n[peers]\n1 = host=x pool_size=7\n2 = host=/run port=6433\n",
		"etc/userlist.txt": "; comment\n\"alice\" \"a\"\"b\"\n\"bob\" \"md5900150983cd24fb0d6963f7d28e17f72\"\n\"dora\" \"" + verifier + "\"\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := pgBouncerDefaults()
	g, p := &want.General, &want.PgBouncer
	g.Host, g.Port = "0.0.0.0", 6543
	g.DefaultPoolSize, g.IdleTimeout, g.CheckoutTimeout = 40, 1500*time.Millisecond, 0
	g.ClientIdleInTransactionTimeout = 30 * time.Second
	g.PreparedStatements, g.PreparedStatementsLimit = PreparedDisabled, 0
	g.TLSVerify, g.TLSClientRequired = TLSRequire, true
	g.TLSCertificate, g.TLSPrivateKey, g.TLSClientCACertificate = "c.pem", "k.pem", "ca.pem"
	g.LogConnections = false
	want.TCP.UserTimeout = 250 * time.Millisecond
	p.PeerID = 2
	want.Peers = []Peer{{ID: 1, Host: "x", PoolSize: 7}, {ID: 2, Host: "/run", Port: 6433}}
	p.UnixSocketDir, p.ReservePoolSize = "/run/pgb", 4
	p.AuthQuery, p.AuthUser = "SELECT * FROM find($1)", "asker"
	p.IgnoreStartupParameters, p.AdminUsers = []string{"extra_float_digits", "geqo"}, []string{"root", "boss"}
	want.Databases = []Database{
		{
			Name: "app", Host: "10.0.0.1", Port: 5433, DatabaseName: "app_1", PoolSize: new(30), PoolerMode: Transaction,
			ServerLifetime: new(time.Minute), ConnectQuery: "SELECT 'x'", Parameters: map[string]string{"application_name": "pool"},
		},
		{Name: "big one", Host: "a", Port: 5432, Role: Auto, AuthUser: "asker"},
		{Name: "big one", Host: "b", Port: 6432, Role: Auto, AuthUser: "asker"},
		{Name: "local", Host: "/run/pgb", User: "owner"},
		{Name: "forced", Host: "h", User: "alice", Password: `a"b`},
	}
	want.Users = []User{
		{Name: "alice", AllDatabases: true, Password: `a"b`, PoolerMode: Statement, MaxUserConnections: new(5)},
		{Name: "bob", AllDatabases: true, PasswordHash: "md5900150983cd24fb0d6963f7d28e17f72"},
		{Name: "dora", AllDatabases: true, PasswordHash: verifier, AuthType: AuthSCRAM},
		{Name: "carol", AllDatabases: true, PoolSize: new(3)},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if want := []string{"etc/pgbouncer.ini", "etc/more.ini", "etc/userlist.txt"}; !cmp.Equal(files, want) {
		t.Errorf("files %q", files)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Key)
	}
	wantWarnings := []string{
		"etc/pgbouncer.ini:36: server_check_query", "etc/pgbouncer.ini:37: logfile",
		"etc/pgbouncer.ini:12: [users] query_timeout", "etc/pgbouncer.ini:5: [databases] host", "etc/pgbouncer.ini:8: [databases] *",
	}
	if diff := cmp.Diff(wantWarnings, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestPgBouncerMistakes(t *testing.T) {
	_, _, _, err := ParsePgBouncer("b.ini", from(map[string]string{
		"b.ini": "x = 1\n[pgbouncer]\nauth_type = pam\nnosuch = 1\nlisten_port = 99999\ngarbage\n[nosuch]\n[databases]\na = host='x\nb = port=0 color=red\n[pgbouncer]\nauth_file=u.txt\n%include b.ini\nserver_tls_sslmode=no\n",
		"u.txt": "\"a\" \"topsecret\n\"b\" \"x\"\n\"b\" \"y\"\n",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"b.ini:1: x stands before the first section",
		"b.ini:3: auth_type: pam is not supported",
		"b.ini:4: unknown option nosuch",
		`b.ini:5: listen_port: want a port, have "99999"`,
		"b.ini:6: want KEY = VALUE",
		"b.ini:7: unknown section [nosuch]",
		"b.ini:9: host: the quote is not closed",
		"b.ini:10: database b: color: unknown setting",
		`b.ini:10: database b: "0" is no port`,
		"b.ini:13: %include: b.ini is being read already",
		"b.ini:14: server_tls_sslmode: want one of",
		`u.txt:1: want "USER" "SECRET"`,
		`u.txt:3: user "b" is there already`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %s", want)
		}
	}
	if strings.Contains(err.Error(), "topsecret") {
		t.Error("the error holds a password")
	}
	if t.Failed() {
		t.Log(err)
	}
	if _, _, _, err := ParsePgBouncer("gone", from(nil)); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("no file: %v", err)
	}
}

func FuzzParsePgBouncer(f *testing.F) {
	f.Add("[databases]\na = host=x port=1 password='a''b'\n[pgbouncer]\nauth_file = u\n", "\"a\" \"b\"\n")
	f.Add("[users]\n\"a\"\"b\" = pool_size=1\n%include x\n", "")
	f.Add("[pgbouncer]\nserver_lifetime = 0\nlisten_addr=\n", "\"\"")
	f.Fuzz(func(t *testing.T, ini, users string) {
		c, _, _, err := ParsePgBouncer("main", from(map[string]string{"main": ini, "u": users}))
		if err == nil {
			_ = c.Validate()
			_ = c.Warnings()
		}
	})
}
