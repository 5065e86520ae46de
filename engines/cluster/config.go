package cluster

import "time"

// Config says how a cluster is run. It is the [cluster] section of the config file, and
// [clusters.NAME] overlays it for one cluster. The zero value is the default.
type Config struct {
	// Engine is "native" or "wasm". Default: native.
	Engine string `toml:"engine" json:"engine,omitempty" enum:"native,wasm"`
	// PG constrains the version: "17", "15.4", or a glob on the programs' directory.
	// Default: what made the directory, else the engine's default.
	PG string `toml:"pg" json:"pg,omitempty"`
	// Database is created if it is missing, and is the one that URLs name. Default:
	// postgres.
	Database string `toml:"database" json:"database,omitempty"`
	// Fast trades durability for speed while the cluster runs. Default: false, but true
	// for temporary clusters unless it is set.
	Fast *bool `toml:"fast" json:"fast,omitempty"`
	// TCP asks for a loopback TCP listener too. Default: false.
	TCP bool `toml:"tcp" json:"tcp,omitempty"`
	// Port is the TCP port to try first. Default: 5432.
	Port int `toml:"port" json:"port,omitempty"`
	// Settings are server settings, in postgresql.conf's terms.
	Settings map[string]string `toml:"settings" json:"settings,omitempty"`
	// Init names SQL files that are run once, in order, in a new cluster; paths are
	// relative to the config file.
	Init []string `toml:"init" json:"init,omitempty"`
	// Idle stops a cluster that had no client connection for this long and that no
	// command holds. Default: 0, never.
	Idle time.Duration `toml:"idle" json:"idle,omitempty"`
	// Spare says what up --temp prepares for the next up --temp: "none", "copied" (a data
	// directory, the default) or "running" (a server).
	Spare string `toml:"spare" json:"spare,omitempty" enum:"none,copied,running"`
}
