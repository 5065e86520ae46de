package balance

import (
	"log/slog"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// Config says how a group decides. Zero fields mean the default.
type Config struct {
	// Strategy chooses among the servers that may be read. Default: conf.Random.
	Strategy conf.LoadBalancing
	// Split says whether reads may go to the primary. Default: conf.IncludePrimary.
	Split conf.ReadWriteSplit
	// BanTimeout is how long a replica that failed is left out at least. Default: 5 minutes.
	BanTimeout time.Duration
	// MaxLag and MaxLagBytes are how far a replica may be behind. Default: no limit.
	MaxLag      time.Duration
	MaxLagBytes int64
	// RequireCheck leaves servers out until they have passed a check. Default: false.
	RequireCheck bool
	// MaxHeld is how many writers may wait for a primary at once. Default: 65536.
	MaxHeld int
	// Logger is told of changes. Default: nobody is.
	Logger *slog.Logger
	// Changed is called after each change of the primary, without locks held, and in order.
	// from and to are indexes of targets, -1 for none. Default: nobody is told.
	Changed func(from, to int)

	// suspected is called, without locks held, when a server is to be checked at once. A
	// Checker sets it on the group it is given.
	suspected func(target int)
}

// ConfigOf returns what the proxy's configuration says.
func ConfigOf(g *conf.General, log *slog.Logger) Config {
	return Config{
		Strategy: g.LoadBalancingStrategy, Split: g.ReadWriteSplit, BanTimeout: g.BanTimeout,
		MaxLag: g.BanReplicaLag, MaxLagBytes: g.BanReplicaLagBytes,
		RequireCheck: g.RequireHealthcheckOnDiscovery, Logger: log,
	}
}

func (c Config) withDefaults() Config {
	if c.Strategy == "" {
		c.Strategy = conf.Random
	}
	if c.Split == "" {
		c.Split = conf.IncludePrimary
	}
	if c.BanTimeout == 0 {
		c.BanTimeout = 5 * time.Minute
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = 1 << 16
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Target is one server of a group.
type Target struct {
	// Name is for the log.
	Name string
	// Role is conf.Primary, conf.Replica or conf.Auto.
	Role conf.Role
	// Weight is the server's part of the reads, for conf.WeightedRoundRobin; with 0 it gets
	// none while there are others.
	Weight int
	// Active tells how many connections are in use, for conf.LeastActiveConnections. It is
	// called with the group's lock held: it must be quick and must not call the group.
	// Default: all are alike.
	Active func() int
}
