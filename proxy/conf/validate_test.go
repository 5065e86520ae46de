package conf

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cluster returns a configuration of a database with n shards and one user.
func cluster(n int) Config {
	c := DefaultConfig()
	for i := range n {
		c.Databases = append(c.Databases, Database{Name: "app", Host: "h", Port: uint16(6000 + i), Shard: i})
	}
	c.Users = []User{{Name: "u", Database: "app", Password: "p"}}
	return c
}

func TestDefaultsAreValid(t *testing.T) {
	for _, c := range []Config{DefaultConfig(), PgDogDefaults(), pgBouncerDefaults(), cluster(3)} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		if w := c.Warnings(); len(w) > 0 {
			t.Error(w)
		}
	}
}

func TestValidate(t *testing.T) {
	table := func(m ...Mapping) func(c *Config) {
		return func(c *Config) {
			c.ShardedTables = []ShardedTable{{Database: "app", Column: "id", Mapping: m}}
		}
	}
	span := func(start, end string, shard int) Mapping {
		m := Mapping{Shard: shard}
		if start != "" {
			m.Start = new(Value(start))
		}
		if end != "" {
			m.End = new(Value(end))
		}
		return m
	}
	tests := []struct {
		name string
		edit func(c *Config)
		want []string
	}{
		{"sizes", func(c *Config) {
			c.General.DefaultPoolSize, c.General.Workers = 5, -1
			c.General.MinPoolSize = 6
			c.Databases[0].PoolSize = new(0)
			c.Users[0].MinPoolSize = new(7)
			c.Databases[1].RoleConfig = RoleConfig{PoolSizePrimary: new(2), MinPoolSizePrimary: new(3)}
		}, []string{
			"general.workers: must not be negative, have -1",
			"general.min_pool_size: 6 is more than default_pool_size, which is 5",
			"databases[0].pool_size: must be at least 1, have 0",
			"databases[1].role_config.min_pool_size_primary: 3 is more than the pool's size, which is 2",
			"users[0].min_pool_size: 7 is more than the pool's size, which is 5",
		}},
		{"sections", func(c *Config) {
			c.General.MirrorExposure = 1.5
			c.General.LogLevel = "loud"
			c.General.TLSCertificate = "x"
			c.General.OpenmetricsPort = 6432
			c.Memory.NetBuffer = 1
			c.Rewrite.ShardKey = RewriteOmni
			c.General.AuthType = AuthHBA
			c.PgBouncer.UnixSocketMode = "0999"
			c.Admin.Name = ""
		}, []string{
			"general.mirror_exposure: must be between 0 and 1, have 1.5",
			`general.log_level: want one of debug, info, warn, error, off, have "loud"`,
			"general.tls_certificate: goes together with tls_private_key",
			"general.openmetrics_port: 6432 is the proxy's own port",
			"admin.name: must not be empty",
			"memory.net_buffer: must be between 1024 bytes and 64 MiB, have 1",
			"rewrite.shard_key: rewrite_omni is for primary_key only",
			"pgbouncer.auth_hba_file: auth_type hba needs it",
			`pgbouncer.unix_socket_mode: want permissions in octal such as 0600, have "0999"`,
		}},
		{"databases", func(c *Config) {
			c.Databases = append(c.Databases,
				Database{Name: "app", Host: "h", Port: 6000},
				Database{Name: "app", Host: "new", Shard: 3},
				Database{Name: "admin", Host: ""},
				Database{Name: "x", Host: "h", Shard: 256},
			)
		}, []string{
			`databases[2].role: shard 0 of "app" has a primary already (databases[0]); give one of them the role replica or auto`,
			"databases[2].host: is the same server as databases[0]",
			`databases[4].name: "admin" is the admin database's name; change one of them`,
			"databases[4].host: must not be empty",
			"databases[5].shard: must be between 0 and 255, have 256",
			`databases: "app" has 4 shards, but no server for 2`,
		}},
		{"users", func(c *Config) {
			c.Users = append(c.Users,
				User{Name: "u", Databases: []string{"app", "nosuch"}},
				User{Name: "", Database: "app"},
				User{Name: "w"},
				User{Name: "v", AllDatabases: true, PasswordHash: "md5abc", Password: "x"},
				User{Name: "r", Database: "app", ReplicationSharding: "app", AuthType: AuthExternalToken},
			)
		}, []string{
			`users[1].databases[1]: there is no database "nosuch"; there are app`,
			`users[1].name: user "u" has an entry for "app" already (users[0])`,
			"users[2].name: must not be empty",
			`users[3].database: user "w" has no database: set database, databases or all_databases`,
			`users[4].password_hash: is no SCRAM verifier; "pgx-dev proxy hash" makes one`,
			"users[4].password_hash: stands in the place of a password: remove one of them",
			"users[5].auth_type: external_token is not supported; use scram, md5, plain or trust",
			"users[5].replication_sharding: needs replication_mode = true",
		}},
		{"a range overlaps, another leaves a gap", table(span("", "10", 0), span("5", "20", 1), span("30", "", 0)), []string{
			"sharded_tables[0].mapping[1].start: the range overlaps with sharded_tables[0].mapping[0]",
			`sharded_tables[0].mapping[2].start: keys from "20" up to "30" have no shard: the range before it (sharded_tables[0].mapping[1]) ends there; close the gap, or add a mapping of the kind default`,
		}},
		{"a long range hides others", table(span("0", "100", 0), span("10", "20", 1), span("50", "60", 1), span("100", "", 1)), []string{
			"sharded_tables[0].mapping[1].start: the range overlaps with sharded_tables[0].mapping[0]",
			"sharded_tables[0].mapping[2].start: the range overlaps with sharded_tables[0].mapping[1]",
		}},
		{"numbers are not compared as text", table(span("9", "10", 0), span("10", "100", 1), span("-5", "9", 1)), nil},
		{"two ranges without a start", table(span("", "10", 0), span("", "20", 1)), []string{
			"sharded_tables[0].mapping[1].start: the range overlaps with sharded_tables[0].mapping[0]",
		}},
		{"a default closes gaps", table(span("", "10", 0), span("20", "", 1), Mapping{Kind: MapDefault, Shard: 1}), nil},
		{"lists", table(Mapping{Values: []Value{"1", " 01", "x"}}, Mapping{Values: []Value{"1"}, Shard: 2}, Mapping{Kind: MapList}), []string{
			`sharded_tables[0].mapping[0].values[1]: " 01" is mapped already (sharded_tables[0].mapping[0].values[0])`,
			`sharded_tables[0].mapping[0].values[2]: "x" is no bigint`,
			`sharded_tables[0].mapping[1].shard: there is no shard 2: "app" has 2`,
			`sharded_tables[0].mapping[1].values[0]: "1" is mapped already (sharded_tables[0].mapping[0].values[0])`,
			"sharded_tables[0].mapping[2].values: must not be empty",
		}},
		{"a range backwards", table(span("10", "10", 0)), []string{
			`sharded_tables[0].mapping[0].end: "10" is not behind the start, "10"; the end is the first key that does not belong to the range`,
		}},
		{"two defaults", table(Mapping{Kind: MapDefault}, Mapping{Kind: MapDefault}), []string{
			"sharded_tables[0].mapping[1].kind: there is a default already (sharded_tables[0].mapping[0])",
		}},
		{"mappings of their own", func(c *Config) {
			c.ShardedTables = []ShardedTable{{Database: "app", Name: "t", Column: "id", Mapping: []Mapping{span("0", "10", 0)}}}
			c.ShardedMappings = []ShardedMapping{
				{Database: "app", Column: "id", Table: "t", Kind: MapRange, Start: new(Value("9")), End: new(Value("20"))},
				{Database: "app", Column: "other", Kind: MapDefault},
			}
		}, []string{
			"sharded_mappings[0].start: the range overlaps with sharded_tables[0].mapping[0]",
			`sharded_mappings[1].column: no [[sharded_tables]] of "app" has the column "other"`,
		}},
		{"tables", func(c *Config) {
			c.ShardedTables = []ShardedTable{
				{Database: "nosuch", Column: "a"},
				{Database: "app"},
				{Database: "app", Column: "v", DataType: Vector},
				{Database: "app", Column: "c", Centroids: [][]float32{{1, 2}, {1}}},
				{Database: "app", Columns: []string{"a", "b"}, Hasher: HasherSHA1},
				{Database: "app", Column: "l", LookupQuery: "SELECT 1"},
				{Database: "app", Name: "t", Column: "id"},
				{Database: "app", Name: "t", Column: "id"},
			}
			c.OmnishardedTables = []OmnishardedTables{{Database: "app", Tables: []string{"t"}}}
			c.ShardedSchemas = []ShardedSchema{{Database: "app", Name: "s", Shard: 9}, {Database: "app", Name: "s"}}
		}, []string{
			`sharded_tables[0].database: there is no database "nosuch"; there are app`,
			"sharded_tables[1].column: must name a column",
			"sharded_tables[2].data_type: vector needs centroids or centroids_path",
			"sharded_tables[3].data_type: centroids are for the type vector",
			"sharded_tables[3].centroids[1]: has 1 dimensions, the first one has 2",
			"sharded_tables[4].columns: a key of several columns is hashed by the postgres hasher; it has no mapping, lookup or centroids",
			"sharded_tables[5].lookup_query: has to mention $1, the key",
			"sharded_tables[7].column: the table and column are in sharded_tables[6] already",
			`sharded_schemas[0].shard: there is no shard 9: "app" has 2`,
			"sharded_schemas[1].name: has an entry already (sharded_schemas[0])",
			`omnisharded_tables[0].tables[0]: "t" is sharded by sharded_tables[6]; it cannot be both`,
			`omnisharded_tables[0].tables[0]: "t" is sharded by sharded_tables[7]; it cannot be both`,
		}},
		{"references", func(c *Config) {
			c.Mirroring = []Mirroring{{SourceDB: "app", DestinationDB: "app", Exposure: new(2.0), QueueLength: new(0)}}
			c.Plugins = []Plugin{{}, {Name: "a"}, {Name: "a"}}
			c.QueryParsers = []QueryParser{{}}
		}, []string{
			`mirroring[0].destination_db: "app" would mirror itself`,
			"mirroring[0].exposure: must be between 0 and 1, have 2",
			"mirroring[0].queue_length: must be at least 1, have 0",
			"plugins[0].name: must not be empty",
			`plugins[2].name: "a" is there already`,
			"query_parsers[0].database: must name a database",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(2)
			tt.edit(&c)
			err := c.Validate()
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(strings.Join(tt.want, "\n"), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if m, ok := errors.AsType[*Mistake](err); err != nil && (!ok || m.Key == "") {
				t.Errorf("%v is no Mistake", err)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	c := cluster(2)
	c.General.Host, c.General.AuthType = "0.0.0.0", AuthTrust
	c.General.PassthroughAuth = PassthroughEnabled
	c.Rewrite.ShardKey = RewriteRewrite
	c.Databases[1].Role = Replica
	c.Users[0].ServerAuth = ServerRDSIAM
	c.Users = append(c.Users, User{Name: "v", Database: "app", ServerAuth: ServerRDSIAM}, User{Name: "w", Database: "app", ServerAuth: ServerAzure})
	c.ShardedTables = []ShardedTable{{Database: "app", Column: "id", Mapping: []Mapping{{Start: new(Value("0")), Shard: 1}}}}
	want := []string{
		"users[0].server_auth: rds_iam is not supported; the servers are given the user's password",
		"users[2].server_auth: azure_workload_identity is not supported; the servers are given the user's password",
		"general.passthrough_auth: enabled works over TLS only, and there is no tls_certificate",
		"general.auth_type: with trust, everybody who reaches 0.0.0.0 may log in as anybody",
		"rewrite.enabled: is false: nothing is rewritten",
		`databases: shard 1 of "app" has no primary: writes will wait and then fail`,
		"sharded_tables[0].mapping: keys below the first range have no shard",
	}
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, w.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPool(t *testing.T) {
	c := cluster(1)
	c.General.TwoPhaseCommit = true
	d := Database{
		Name: "app", Host: "h", DatabaseName: "app_1", PoolSize: new(20), IdleTimeout: new(time.Second), PoolerMode: Session,
		RoleConfig: RoleConfig{PoolSizeReplica: new(30)}, StatementTimeout: new(time.Minute), ReadOnly: new(true),
	}
	u := User{Name: "u", Password: "p", Passwords: []string{"old"}, PoolSizePrimary: new(5), MinPoolSize: new(6), PoolerMode: Statement, StatementTimeout: new(time.Duration(0))}
	got := c.Pool(&u, &d, Primary)
	want := Settings{
		Size: 5, MinSize: 5, Mode: Statement, IdleTimeout: time.Second, Lifetime: 24 * time.Hour, StatementTimeout: new(time.Duration(0)),
		ReadOnly: true, Database: "app_1", User: "u", Password: "p", Passwords: []string{"old"}, TwoPhaseCommit: true, TwoPhaseCommitAuto: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("primary (-want +got):\n%s", diff)
	}
	if got := c.Pool(&u, &d, Replica); got.Size != 30 || got.MinSize != 6 {
		t.Errorf("replica: %d, %d", got.Size, got.MinSize)
	}
	if got := c.Pool(&u, &d, Auto); got.Size != 20 {
		t.Errorf("role not known: %d", got.Size)
	}
	d.User, d.Password = "owner", "o"
	u.ServerUser, u.ServerPassword = "svc", "s"
	if got := c.Pool(&u, &d, Auto); got.User != "owner" || got.Password != "o" || got.Passwords != nil {
		t.Errorf("credentials: %s, %s, %q", got.User, got.Password, got.Passwords)
	}
	d.User, d.Password = "", ""
	if got := c.Pool(&u, &d, Auto); got.User != "svc" || got.Password != "s" {
		t.Errorf("credentials: %s, %s", got.User, got.Password)
	}
}

func TestUserEntries(t *testing.T) {
	c := cluster(1)
	c.Users = []User{{Name: "a", AllDatabases: true, Password: "1"}, {Name: "a", Database: "app", Password: "2"}}
	if u, ok := c.User("a", "app"); !ok || u.Password != "2" {
		t.Errorf("the entry for the database is stronger: %v", u)
	}
	if u, ok := c.User("a", "other"); !ok || u.Password != "1" {
		t.Errorf("all_databases: %v", u)
	}
	if _, ok := c.User("b", "app"); ok {
		t.Error("b has no entry")
	}
}

func TestAddURL(t *testing.T) {
	c := DefaultConfig()
	for _, u := range []string{"postgres://u:p%40@h1:5433/app?role=primary&pool_size=3", "postgresql://u:p%40@/app?host=/run&role=replica&idle_timeout=500"} {
		if err := c.AddURL(u); err != nil {
			t.Fatal(err)
		}
	}
	want := []Database{
		{Name: "app", Host: "h1", Port: 5433, Role: Primary, PoolSize: new(3)},
		{Name: "app", Host: "/run", Role: Replica, IdleTimeout: new(500 * time.Millisecond)},
	}
	if diff := cmp.Diff(want, c.Databases); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]User{{Name: "u", Database: "app", Password: "p@"}}, c.Users); diff != "" {
		t.Error(diff)
	}
	for u, want := range map[string]string{
		"mysql://u@h/d":                      "scheme",
		"postgres://u@h":                     "name the database",
		"postgres://h/d":                     "name the user",
		"postgres://u:top%zzsecret@h/d":      "%XX",
		"postgres://u:topsecret@h:port/d":    "%XX",
		"postgres://u:topsecret@h/d?x=1":     `unknown parameter "x"`,
		"postgres://u@h/d?role=boss":         "primary, replica, auto",
		"postgres://u@h/d?sslmode=disable":   "tls_verify",
		"postgres://u@h/d?shard=-1":          "shard: want a number from 0",
		"postgres://u:topsecret@h:0/d":       "no port",
		"postgres://u:topsecret@h/d?shard=x": "shard",
	} {
		err := c.AddURL(u)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", u, err, want)
		}
	}
}

// TestUnused checks that the keys are there, and that each is told once it is set.
func TestUnused(t *testing.T) {
	base, c := DefaultConfig(), DefaultConfig()
	if got := c.Unused(&base); len(got) > 0 {
		t.Errorf("of the defaults: %v", got)
	}
	for section, keys := range unused() {
		v, _ := fieldOf(reflect.ValueOf(&c).Elem(), section)
		for key, why := range keys {
			if !strings.HasPrefix(why, "has no effect") {
				t.Errorf("%s.%s: %q is no reason", section, key, why)
			}
			if _, ok := fieldOf(v, key); !ok {
				t.Errorf("there is no %s.%s", section, key)
			}
		}
	}
	c.General.RegexParserLimit, c.Memory.NetBuffer = 7, 3
	c.QueryParsers = []QueryParser{{Database: "p", Level: ParserOn}, {Database: "p", Engine: "pg_query_raw"}}
	var got []string
	for _, w := range c.Unused(&base) {
		got = append(got, w.Key)
	}
	if diff := cmp.Diff([]string{"general.regex_parser_limit", "memory.net_buffer", "query_parsers[1].engine"}, got); diff != "" {
		t.Error(diff)
	}
}
