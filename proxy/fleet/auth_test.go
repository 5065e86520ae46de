package fleet_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/wire/auth/ldap/ldaptest"
)

// strict starts a server that lets in postgres alone without a password, and makes roles.
func strict(t *testing.T) (engines.Server, *pgx.Conn) {
	t.Helper()
	srv := start(t)
	admin, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	rules := "local all postgres trust\nlocal all open trust\nlocal all by_md5 md5\nlocal all by_password password\nlocal all all scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(srv.Info().Dir, "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"SELECT pg_reload_conf()",
		"CREATE ROLE by_scram LOGIN PASSWORD 'secret'", "CREATE ROLE by_password LOGIN PASSWORD 'secret'", "CREATE ROLE open LOGIN",
		"CREATE ROLE expired LOGIN PASSWORD 'secret' VALID UNTIL '2001-01-01'", "CREATE ROLE no_login PASSWORD 'secret'",
		"SET password_encryption = 'md5'", "CREATE ROLE by_md5 LOGIN PASSWORD 'secret'", "RESET password_encryption",
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return srv, admin
}

func secretOf(t *testing.T, admin *pgx.Conn, role string) string {
	t.Helper()
	return ask(t, admin, "SELECT rolpassword FROM pg_authid WHERE rolname = '"+role+"'")
}

// logins tries users with passwords, and runs a query as each: it says who the server thinks that
// it is.
func logins(t *testing.T, addr string, want map[[2]string]string) {
	t.Helper()
	for who, state := range want {
		conn, err := connect(t, addr, who[0], who[1], "db", "")
		got := "in"
		if err == nil {
			if v := ask(t, conn, "SELECT current_user"); v != who[0] {
				t.Errorf("%s is %s at the server", who[0], v)
			}
		} else {
			got = code(err)
		}
		if got != state {
			t.Errorf("%s with %q: %s (%v), want %s", who[0], who[1], got, err, state)
		}
	}
}

// TestWithoutPasswords has a proxy that knows verifiers, or nothing, of its users, in front of a
// server that wants proofs.
func TestWithoutPasswords(t *testing.T) {
	srv, admin := strict(t)
	var current atomic.Pointer[conf.Config]
	config := func(change func(c *conf.Config)) *conf.Config {
		c := configOf(t, srv)
		c.Users = nil
		change(c)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		return c
	}

	t.Run("verifiers", func(t *testing.T) {
		c := config(func(c *conf.Config) {
			c.Users = []conf.User{
				{Name: "by_scram", Database: "db", PasswordHash: secretOf(t, admin, "by_scram")},
				{Name: "by_md5", Database: "db", PasswordHash: secretOf(t, admin, "by_md5"), AuthType: conf.AuthMD5},
				{Name: "by_password", Database: "db", PasswordHash: secretOf(t, admin, "by_password"), AuthType: conf.AuthPlain},
			}
		})
		current.Store(c)
		f, addr := serve(t, &current)
		logins(t, addr, map[[2]string]string{
			{"by_scram", "secret"}: "in", {"by_scram", "wrong"}: "28P01",
			{"by_md5", "secret"}: "in", {"by_md5", "wrong"}: "28P01",
			{"by_password", "secret"}: "in", {"by_password", "wrong"}: "28P01",
			{"nobody", "secret"}: "28P01",
		})
		// Nothing that is printed of a pool holds a secret.
		for _, p := range f.Pools() {
			if s := fmt.Sprintf("%v %+v %#v", p.Backend().Login, p.Backend().Login, p.Backend().Login); strings.Contains(s, "secret") {
				t.Error(s)
			}
		}
	})

	t.Run("auth_query", func(t *testing.T) {
		c := config(func(c *conf.Config) {
			c.PgBouncer.AuthUser = "postgres"
			c.Users = []conf.User{{Name: "postgres", Database: "db", Password: "x"}}
		})
		current.Store(c)
		_, addr := serve(t, &current)
		// Whoever comes as auth_user must not change what the query means.
		attacker, err := connect(t, addr, "postgres", "x", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			"CREATE SCHEMA evil", "CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
			"SET search_path = evil", "SET ROLE by_scram",
		} {
			if _, err := attacker.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		logins(t, addr, map[[2]string]string{
			{"by_scram", "secret"}: "in", {"by_scram", "wrong"}: "28P01",
			{"by_md5", "secret"}: "in", {"by_md5", "wrong"}: "28P01",
			{"expired", "secret"}: "28P01", {"no_login", "secret"}: "28P01", {"nobody", "secret"}: "28P01", {"open", "secret"}: "28P01",
		})
		// A new password counts from the next login on, for new server connections too.
		if _, err := admin.Exec(t.Context(), "ALTER ROLE by_scram PASSWORD 'changed'"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := admin.Exec(context.WithoutCancel(t.Context()), "ALTER ROLE by_scram PASSWORD 'secret'"); err != nil {
				t.Error(err)
			}
		}()
		if _, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'by_scram'"); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := connect(t, addr, "by_scram", "secret", "db", ""); code(err) != "28P01" {
				t.Fatalf("with the old password: %v", err)
			}
			conn, err := connect(t, addr, "by_scram", "changed", "db", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err = conn.Exec(t.Context(), "SELECT 1"); err == nil {
				break
			} else if !strings.Contains(err.Error(), "ended") && !strings.Contains(err.Error(), "administrator command") {
				t.Fatal(err) // but for the connection that was terminated
			}
		}
	})

	t.Run("auth_query that fails", func(t *testing.T) {
		for query, want := range map[string]string{
			"SELECT nothing WHERE $1=''":          "08006",
			"SELECT $1::text, 'md5', 3":           "08006",
			"SELECT 'another', NULL WHERE $1<>''": "08006",
			"SELECT $1::text, ''":                 "08006",
			"SELECT $1::text, NULL":               "28P01",
			"SELECT 'a', 'b' WHERE $1 = ''":       "28P01",
		} {
			current.Store(config(func(c *conf.Config) {
				c.PgBouncer.AuthUser, c.PgBouncer.AuthQuery = "postgres", query
				c.Users = []conf.User{{Name: "postgres", Database: "db", Password: "x"}}
			}))
			_, addr := serve(t, &current)
			if _, err := connect(t, addr, "by_scram", "secret", "db", ""); code(err) != want {
				t.Errorf("%s: %v, want %s", query, err, want)
			}
		}
	})

	t.Run("passthrough", func(t *testing.T) {
		for mode, changes := range map[conf.PassthroughAuth]bool{conf.PassthroughEnabledPlain: false, conf.PassthroughEnabledPlainAllowChange: true} {
			current.Store(config(func(c *conf.Config) { c.General.PassthroughAuth = mode }))
			_, addr := serve(t, &current)
			logins(t, addr, map[[2]string]string{
				{"by_scram", "wrong"}: "28P01", {"nobody", "secret"}: "28P01",
				{"open", "anything"}: "28P01", // whom the server asks for nothing
			})
			logins(t, addr, map[[2]string]string{{"by_scram", "secret"}: "in", {"by_md5", "secret"}: "in", {"by_password", "secret"}: "in"})
			logins(t, addr, map[[2]string]string{{"by_scram", "wrong"}: "28P01", {"by_md5", ""}: "28P01"})
			if _, err := connect(t, addr, "by_scram", "secret", "other", ""); code(err) != "28P01" {
				t.Errorf("a database that there is not: %v", err)
			}
			if _, err := admin.Exec(t.Context(), "ALTER ROLE by_scram PASSWORD 'changed'"); err != nil {
				t.Fatal(err)
			}
			want := "28P01"
			if changes {
				want = "in"
			}
			logins(t, addr, map[[2]string]string{{"by_scram", "changed"}: want})
			if changes {
				logins(t, addr, map[[2]string]string{{"by_scram", "secret"}: "28P01"})
			}
			if _, err := admin.Exec(t.Context(), "ALTER ROLE by_scram PASSWORD 'secret'"); err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("passthrough over TLS only", func(t *testing.T) {
		current.Store(config(func(c *conf.Config) { c.General.PassthroughAuth = conf.PassthroughEnabled }))
		_, addr := serve(t, &current)
		if _, err := connect(t, addr, "by_scram", "secret", "db", ""); code(err) != "28000" {
			t.Errorf("in the clear: %v", err)
		}
	})

	t.Run("several passwords at the server", func(t *testing.T) {
		current.Store(config(func(c *conf.Config) {
			c.Users = []conf.User{{Name: "by_scram", Database: "db", Password: "next", Passwords: []string{"secret"}}}
		}))
		_, addr := serve(t, &current)
		logins(t, addr, map[[2]string]string{{"by_scram", "secret"}: "in", {"by_scram", "next"}: "in", {"by_scram", "wrong"}: "28P01"})
	})
}

// TestHBA has the rules of a pg_hba.conf decide at the proxy, in front of a server with others.
func TestHBA(t *testing.T) {
	srv, admin := strict(t)
	tcp := "host all postgres 127.0.0.1/32 trust\nhost all no_login all reject\nhost all by_md5 127.0.0.1/32 md5\n" +
		"host all by_password samehost password\nhostssl all open 127.0.0.1/32 trust\nhost all by_scram,expired 127.0.0.0/8 scram-sha-256\n"
	rules := filepath.Join(t.TempDir(), "hba.conf")
	if err := os.WriteFile(rules, []byte(tcp), 0o600); err != nil {
		t.Fatal(err)
	}
	var current atomic.Pointer[conf.Config]
	c := configOf(t, srv)
	c.General.AuthType, c.PgBouncer.AuthHBAFile = conf.AuthHBA, rules
	c.Users = nil
	for _, role := range []string{"by_scram", "by_md5", "by_password"} {
		c.Users = append(c.Users, conf.User{Name: role, Database: "db", PasswordHash: secretOf(t, admin, role), ServerPassword: "secret"})
	}
	c.Users = append(c.Users, conf.User{Name: "postgres", Database: "db"}, conf.User{Name: "open", Database: "db"}, conf.User{Name: "no_login", Database: "db"})
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	current.Store(c)
	_, addr := serve(t, &current)
	for who, want := range map[[2]string]string{
		{"postgres", ""}: "in", {"by_scram", "secret"}: "in", {"by_scram", "wrong"}: "28P01", {"by_md5", "secret"}: "in", {"by_md5", "wrong"}: "28P01",
		{"by_password", "secret"}: "in", {"by_password", "wrong"}: "28P01",
		{"no_login", "secret"}: "28000", {"open", ""}: "28000", // rejected; by TLS only
	} {
		got := "in"
		if conn, err := connect(t, addr, who[0], who[1], "db", ""); err != nil {
			got = code(err)
		} else if v := ask(t, conn, "SELECT current_user"); v != who[0] {
			t.Errorf("%s is %s at the server", who[0], v)
		}
		if got != want {
			t.Errorf("%s with %q: %s, want %s", who[0], who[1], got, want)
		}
	}
}

// TestBadRules has rules that cannot be read refused with their configuration, and the last ones hold
// if the file goes wrong while they do.
func TestBadRules(t *testing.T) {
	srv := start(t)
	c := configOf(t, srv)
	rules := filepath.Join(t.TempDir(), "hba.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.General.AuthType, c.PgBouncer.AuthHBAFile = conf.AuthHBA, rules
	write("host all all all scram-sha-256\n")
	var current atomic.Pointer[conf.Config]
	current.Store(c)
	_, addr := serve(t, &current)
	in := func() {
		t.Helper()
		c, err := connect(t, addr, "app", "one", "db", "")
		if err != nil {
			t.Fatal(err)
		}
		ask(t, c, "SELECT 1::text")
	}
	in()
	write("host all all all ldap\n")
	if _, err := fleet.FromConfig(c); err == nil || !strings.Contains(err.Error(), rules+`:1: authentication method "ldap"`) {
		t.Errorf("the rules are taken: %v", err)
	}
	unused := *c
	unused.General.AuthType = conf.AuthSCRAM
	if _, err := fleet.FromConfig(&unused); err != nil {
		t.Errorf("rules by which nobody logs in are read: %v", err)
	}
	in()
	next := *c
	current.Store(&next) // as SET does, which does not look at files
	in()
	write("host all all all reject\n")
	next2 := *c
	current.Store(&next2)
	if _, err := connect(t, addr, "app", "one", "db", ""); err == nil {
		t.Error("new rules do not hold")
	}
}

// TestAdminByFile has one of admin_users who is called as the admin is by default, whose password nobody
// has set.
func TestAdminByFile(t *testing.T) {
	srv := start(t)
	c := configOf(t, srv)
	c.Admin.User, c.Admin.Password = "app", ""
	var current atomic.Pointer[conf.Config]
	current.Store(c)
	_, addr := serve(t, &current)
	in := func() error {
		c, err := connect(t, addr, "app", "one", c.Admin.Name, "")
		if err == nil {
			_ = c.Close(t.Context())
		}
		return err
	}
	if code(in()) != "28P01" {
		t.Error("a user is an admin by name")
	}
	next := *c
	next.PgBouncer.AdminUsers = []string{"app"}
	current.Store(&next)
	if err := in(); code(err) == "28P01" {
		t.Error(err)
	}
}

// TestDirectory has a directory decide, by a rule of a pg_hba.conf and by auth_ldap_options, about users
// with and without an entry. The server wants the passwords that it takes, too.
func TestDirectory(t *testing.T) {
	dir := ldaptest.Start(t)
	people := dir.Unit("people")
	for _, name := range []string{"by_scram", "by_password", "unlisted", "app"} {
		dir.Person(name, "secret", people)
	}
	dir.Person("expired", "another", people)
	srv, _ := strict(t)
	var current atomic.Pointer[conf.Config]
	c := configOf(t, srv)
	c.Users = []conf.User{
		{Name: "by_scram", Database: "db"},
		{Name: "app", Database: "db", ServerUser: "by_md5", ServerPassword: "secret"},
		{Name: "by_md5", Database: "db", Password: "secret", AuthType: conf.AuthSCRAM},
	}
	host, port, _ := net.SplitHostPort(dir.Plain)
	options := "ldapserver=" + host + " ldapport=" + port + ` ldapbasedn="` + people + `"`
	check := func(how string) {
		t.Helper()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		current.Store(c)
		_, addr := serve(t, &current)
		logins(t, addr, map[[2]string]string{
			{"by_scram", "secret"}: "in", {"by_scram", "wrong"}: "28000", {"by_scram", ""}: "28000",
			{"by_password", "secret"}: "in", {"by_password", "wrong"}: "28000", // without an entry
			{"unlisted", "secret"}: "28P01", // the directory has him, the server has not
			{"nobody", "secret"}:   "28000", // nor has the directory
			{"expired", "another"}: "28P01", // the server takes another one
			{"by_md5", "secret"}:   "in", {"by_md5", "wrong"}: "28P01",
		})
		conn, err := connect(t, addr, "app", "secret", "db", "")
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if who := ask(t, conn, "SELECT current_user"); who != "by_md5" {
			t.Errorf("%s: app is %s at the server", how, who)
		}
	}
	rules := filepath.Join(t.TempDir(), "hba")
	if err := os.WriteFile(rules, []byte("host all by_md5 all scram-sha-256\nhost all all all ldap "+options+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.General.AuthType, c.PgBouncer.AuthHBAFile = conf.AuthHBA, rules
	check("hba")
	c = new(*c)
	c.General.AuthType, c.PgBouncer.AuthHBAFile, c.PgBouncer.AuthLDAPOptions = conf.AuthLDAP, "", options
	check("auth_ldap_options")
	c = new(*c)
	c.PgBouncer.AuthLDAPOptions = "ldapserver=x"
	if _, err := fleet.FromConfig(c); err == nil || !strings.Contains(err.Error(), `auth_ldap_options: authentication method "ldap" requires one of`) {
		t.Error(err)
	}
}
