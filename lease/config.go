package lease

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Config says how test databases are leased. It is the [lease] section of the config file;
// the zero value is the default.
type Config struct {
	// Socket is where clients of the first pool connect; other pools' sockets are beside
	// it, as NAME.sock. Default: tmp/pgmanager.sock for plain names, else one per pool in
	// the private runtime directory. $PGM_SOCKET and $PGMANAGER_SOCKET say the same.
	Socket string `toml:"socket"`
	// Drain is how long a server that was told to end waits for leases to end by
	// themselves. Default: 10s.
	Drain time.Duration `toml:"drain"`
	// Pools are what can be leased. Default: one called "default".
	Pools []PoolConfig `toml:"pool"`
}

// PoolConfig says what a pool lends. Zero fields mean the default.
type PoolConfig struct {
	// Name names the pool: lower-case letters, digits, "-" and "_". Default: "default".
	Name string `toml:"name"`
	// Engine is "native" (databases on a cluster of ours), "wasm" (each lease a whole
	// server inside the lease server's process) or "none" (names only). Default: native,
	// or, with a URL, none of these.
	Engine string `toml:"engine"`
	// Cluster names the project's cluster to make databases on; it is started on demand.
	// Default: a temporary one that lease servers of this project share.
	Cluster string `toml:"cluster"`
	// PG constrains the temporary cluster's version, as cluster.pg does, or that of the
	// WASM engine.
	PG string `toml:"pg"`
	// Settings are the temporary cluster's settings, as cluster.settings, or those of every
	// server of the WASM engine.
	Settings map[string]string `toml:"settings"`
	// URL is a server to make databases on instead. Its role needs CREATEDB; to look at
	// what a test left behind, superuser.
	URL string `toml:"url"`

	// Migrations are SQL files, globs allowed, that make the template; a glob's files run
	// in the order of their names.
	Migrations []string `toml:"migrations"`
	// Dump is a file of pg_dump to start the template from, plain or in a format of
	// pg_restore.
	Dump string `toml:"dump"`
	// Command makes the template after dump and migrations: a program and its arguments,
	// run with PGDATABASE, DATABASE_URL and so on.
	Command []string `toml:"command"`
	// KeyFiles are files, globs allowed, on which Command depends. The template is built
	// again when one changes.
	KeyFiles []string `toml:"key_files"`
	// Base is the database to copy instead of template1 when the template is built.
	Base string `toml:"base"`

	// Prefix begins the names of the databases. Default: "lease_NAME_".
	Prefix string `toml:"prefix"`
	// Count is how many databases there may be at once, lent or not. Default: 8 for names,
	// else 32.
	Count *int `toml:"count"`
	// Warm is how many databases to keep ready at least; with demand there are more.
	// Default: 2.
	Warm *int `toml:"warm"`
	// Parallel is how many databases to make or clean at once. Default: half the
	// processors, 1 to 4.
	Parallel int `toml:"parallel"`
	// Reset says how a database is cleaned after a lease: "none", "recreate", "truncate",
	// "delete" or "auto". Default: recreate; none for names.
	Reset string `toml:"reset"`

	// TTL ends a lease after this time. Default: 0, never.
	TTL time.Duration `toml:"ttl"`
	// Wait is how long a client may wait for a database before it is refused. Default: 0,
	// without end.
	Wait time.Duration `toml:"wait"`
	// Idle drops all waiting databases, and lets go of the server, when there was no lease
	// for this time. Default: 5m.
	Idle time.Duration `toml:"idle"`
	// Listen is an address on which a client finds a database by connecting: "unix",
	// "unix:DIR" or "tcp:127.0.0.1:PORT". Default: none.
	Listen string `toml:"listen"`
	// Grace is how long a database on Listen outlives its client's last connection.
	// Default: 2s.
	Grace time.Duration `toml:"grace"`
}

// The defaults of PoolConfig.
const (
	DefaultPool       = "default"
	DefaultNames      = 8 // as pgmanager
	DefaultCount      = 32
	DefaultWarm       = 2
	DefaultIdle       = 5 * time.Minute
	DefaultGrace      = 2 * time.Second
	DefaultDrain      = 10 * time.Second
	LegacySocket      = "tmp/pgmanager.sock" // pgmanager's, relative to the working directory
	maxCount          = 100_000
	defaultMaxWorkers = 4
)

// The reset policies.
const (
	ResetNone     = "none"
	ResetRecreate = "recreate"
	ResetTruncate = "truncate"
	ResetDelete   = "delete"
	ResetAuto     = "auto"
)

// Resets lists the reset policies.
func Resets() []string {
	return []string{ResetNone, ResetRecreate, ResetTruncate, ResetDelete, ResetAuto}
}

var poolName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// Validate names every mistake.
func (c Config) Validate() error {
	var errs []error
	names := map[string]bool{}
	for i, p := range c.Pools {
		p = p.WithDefaults()
		if names[p.Name] {
			errs = append(errs, fmt.Errorf("pool[%d]: there are two pools called %q", i, p.Name))
		}
		names[p.Name] = true
		if err := p.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("pool %q: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Validate names every mistake in one pool.
func (c PoolConfig) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !poolName.MatchString(c.Name) {
		add("name %q: want up to 32 lower-case letters, digits, - and _", c.Name)
	}
	if !slices.Contains([]string{"", "native", "wasm", "none"}, c.Engine) {
		add("engine %q: there are native, wasm and none", c.Engine)
	}
	if c.Reset != "" && !slices.Contains(Resets(), c.Reset) {
		add("reset %q: there are %v", c.Reset, Resets())
	}
	if c.URL != "" && (c.Cluster != "" || c.Engine != "" || c.PG != "" || len(c.Settings) > 0) {
		add("url names a server: leave engine, cluster, pg and settings out")
	}
	if c.Cluster != "" && (c.PG != "" || len(c.Settings) > 0) {
		add("cluster %q has its own pg and settings: write them in [clusters.%s]", c.Cluster, c.Cluster)
	}
	if c.Engine == "none" && (c.HasTemplate() || c.Cluster != "" || c.Listen != "" || c.Warm != nil) {
		add("engine = \"none\" lends names only: leave the template, cluster, warm and listen out")
	}
	if c.Engine == "wasm" && (c.Cluster != "" || c.Base != "") {
		add("engine = \"wasm\" makes every lease a server of its own: leave cluster and base out")
	}
	if c.Engine == "wasm" && c.Reset != "" && c.Reset != ResetRecreate && c.Reset != ResetNone {
		add("engine = \"wasm\" has a new server within milliseconds: reset is recreate or none, not %s", c.Reset)
	}
	if c.Engine == "none" && c.Reset != "" && c.Reset != ResetNone {
		add("engine = \"none\" lends names only: it cannot reset anything")
	}
	if c.Count != nil && (*c.Count < 0 || *c.Count > maxCount) {
		add("count %d: want 0 to %d", *c.Count, maxCount)
	}
	if c.Warm != nil && (*c.Warm < 0 || *c.Warm > maxCount) {
		add("warm %d: want 0 to %d", *c.Warm, maxCount)
	}
	if c.Parallel < 0 {
		add("parallel %d: want 1 or more", c.Parallel)
	}
	if len(c.KeyFiles) > 0 && len(c.Command) == 0 {
		add("key_files belong to command")
	}
	for _, d := range []time.Duration{c.TTL, c.Wait, c.Idle, c.Grace} {
		if d < 0 {
			add("a time is negative: %v", d)
		}
	}
	if len(c.Prefix) > MaxName-c.longestNumber() {
		add("prefix %q: names would be longer than the %d bytes that PostgreSQL allows", c.Prefix, MaxName)
	}
	if strings.ContainsFunc(c.Prefix, unicode.IsControl) || !utf8.ValidString(c.Prefix) {
		add("prefix %q: a name has no control characters, and is UTF-8", c.Prefix)
	}
	return errors.Join(errs...)
}

// longestNumber is how many bytes may follow the prefix in a name.
func (c PoolConfig) longestNumber() int {
	if c.NamesOnly() && c.Count != nil {
		return len(strconv.Itoa(max(*c.Count-1, 0)))
	}
	return 20
}

// HasTemplate reports whether anything makes a template.
func (c PoolConfig) HasTemplate() bool {
	return len(c.Migrations) > 0 || c.Dump != "" || len(c.Command) > 0 || c.Base != ""
}

// NamesOnly reports whether the pool touches no server.
func (c PoolConfig) NamesOnly() bool { return c.Engine == "none" }

// WithDefaults returns the configuration with every zero field that has a default filled.
func (c PoolConfig) WithDefaults() PoolConfig {
	if c.Name == "" {
		c.Name = DefaultPool
	}
	if c.Prefix == "" {
		c.Prefix = "lease_" + c.Name + "_"
	}
	if c.Count == nil {
		n := DefaultCount
		if c.NamesOnly() {
			n = DefaultNames
		}
		c.Count = &n
	}
	if c.Warm == nil && !c.NamesOnly() {
		n := min(DefaultWarm, *c.Count)
		c.Warm = &n
	}
	if c.Parallel == 0 {
		c.Parallel = min(max(runtime.GOMAXPROCS(0)/2, 1), defaultMaxWorkers)
	}
	if c.Reset == "" {
		c.Reset = ResetRecreate
		if c.NamesOnly() {
			c.Reset = ResetNone
		}
	}
	if c.Idle == 0 {
		c.Idle = DefaultIdle
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	return c
}
