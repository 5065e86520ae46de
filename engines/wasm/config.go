package wasm

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"
)

// Config says where PostgreSQL for WebAssembly comes from and how its one backend is
// shared. It is the [embed] section of the config file. The zero value is the default.
type Config struct {
	// Packages are local files with the npm packages (@electric-sql/pglite, and
	// @electric-sql/pglite-pgvector), tried before anything else.
	Packages []string `toml:"packages" json:"packages,omitempty"`
	// Offline never runs npm. Default: false.
	Offline bool `toml:"offline" json:"offline,omitempty"`
	// Store is where packages, compiled code and templates are kept. Default: wasm in the
	// cache directory.
	Store string `toml:"store" json:"store,omitempty"`
	// Cache set to false keeps nothing on disk: code is compiled and templates are made
	// in each process, in some seconds. Default: true.
	Cache *bool `toml:"cache" json:"cache,omitempty"`
	// Extensions are made ready before a server starts, so that creating them does not
	// wait for a compiler. They are not created. Default: those that compile in no time
	// need no mention; pgcrypto does, once per machine.
	Extensions []string `toml:"extensions" json:"extensions,omitempty"`
	// Wait is how long a client waits while another one holds the backend. Default: 30s.
	Wait time.Duration `toml:"wait" json:"wait,omitempty"`
	// IdleInTransaction ends a client that is idle in a transaction for this long, while
	// PostgreSQL's own idle_in_transaction_session_timeout is honoured too. Default: 0,
	// no limit.
	IdleInTransaction time.Duration `toml:"idle_in_transaction" json:"idle_in_transaction,omitempty"`
	// MaxConns is how many clients may be connected at once. Default: 100.
	MaxConns int `toml:"max_conns" json:"max_conns,omitempty"`
	// SharedBuffers is PostgreSQL's shared_buffers. Default: 16MB, and 8MB for temporary
	// servers, which share those of the snapshot that they start from.
	SharedBuffers string `toml:"shared_buffers" json:"shared_buffers,omitempty"`
	// MaxMemory bounds the memory of one server, in megabytes; a statement that needs more
	// fails with PostgreSQL's "out of memory". Default, and at most: 2048; at least 256.
	MaxMemory int `toml:"max_memory" json:"max_memory,omitempty"`
	// Mounts shows host directories to the guest, by guest path ("/host" = "."), for
	// COPY to and from files. Nothing else of the host can be seen. Default: none.
	Mounts map[string]string `toml:"mounts" json:"mounts,omitempty"`

	// Log gets state changes and, at Debug, what PostgreSQL logs. Default: nothing.
	Log *slog.Logger `toml:"-" json:"-"`
	// Progress is told of each long step. Default: nobody.
	Progress func(step string) `toml:"-" json:"-"`
}

// DefaultConfig returns the configuration that the command line starts from.
func DefaultConfig() Config { return Config{} }

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var errs []error
	if c.Wait < 0 {
		errs = append(errs, fmt.Errorf("embed.wait is negative (%s)", c.Wait))
	}
	if c.IdleInTransaction < 0 {
		errs = append(errs, fmt.Errorf("embed.idle_in_transaction is negative (%s)", c.IdleInTransaction))
	}
	if c.MaxConns < 0 {
		errs = append(errs, fmt.Errorf("embed.max_conns is negative (%d)", c.MaxConns))
	}
	if c.MaxMemory != 0 && (c.MaxMemory < 256 || c.MaxMemory > 2048) {
		errs = append(errs, fmt.Errorf("embed.max_memory is %d; 256 to 2048 megabytes are possible", c.MaxMemory))
	}
	for at := range c.Mounts {
		if clean := path.Clean(at); !path.IsAbs(at) || clean == "/" || clean == "/pglite" || clean == "/home" || clean == "/tmp" {
			errs = append(errs, fmt.Errorf("embed.mounts: %q cannot be mounted at; use a path like /host", at))
		}
	}
	return errors.Join(errs...)
}

func (c Config) limits() limits {
	l := limits{wait: c.Wait, idleInTx: c.IdleInTransaction, maxClients: c.MaxConns, maxWAL: 64 << 20}
	if l.wait == 0 {
		l.wait = 30 * time.Second
	}
	if l.maxClients == 0 {
		l.maxClients = 100
	}
	return l
}

func (c Config) cached() bool { return c.Cache == nil || *c.Cache }
