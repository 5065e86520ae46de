package native

// Config says which PostgreSQL programs the engine uses and how it makes new data
// directories. It is the [runtime] section of the config file. The zero value finds every
// installed PostgreSQL and fetches nothing.
type Config struct {
	// Auto lets the engine install the newest packaged PostgreSQL when none is found.
	// Default (DefaultConfig): true.
	Auto bool `toml:"auto" json:"auto"`
	// Default is the version constraint for new clusters that ask for none. Empty: the
	// first place searched decides, by its newest version.
	Default string `toml:"default" json:"default,omitempty"`
	// Bindirs are further directories (globs allowed) that hold postgres and initdb. They
	// are searched before PATH.
	Bindirs []string `toml:"bindirs" json:"bindirs,omitempty"`
	// Store is where fetched runtimes are kept. Default: runtimes in the cache directory.
	Store string `toml:"store" json:"store,omitempty"`
	// InitdbArgs are added to initdb's arguments, after our own, so that they win.
	InitdbArgs []string `toml:"initdb_args" json:"initdb_args,omitempty"`
	// FreshID runs initdb for each new cluster, rather than copying the cached result of
	// one, so that each has a system identifier of its own. Default: false.
	FreshID bool `toml:"fresh_id" json:"fresh_id,omitempty"`
}

// DefaultConfig returns the configuration that the command line starts from.
func DefaultConfig() Config { return Config{Auto: true} }
