package shards

import (
	"context"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// A commit is two-phase commit for a database.
type commit struct {
	coordinator *twophase.Coordinator
	log         *twophase.Log
	cancel      context.CancelFunc
	wg          sync.WaitGroup
}

// openCommit opens the log and resolves what an earlier proxy left in the middle of a commit,
// as far as the shards can be reached; that goes on until close.
func openCommit(ctx context.Context, cfg *Config, shards int) (*commit, error) {
	opt, logger := cfg.Log, cfg.Logger
	opt.Log = logger
	log, err := twophase.OpenLog(cfg.TwoPhase, opt)
	if err != nil {
		return nil, err
	}
	c := &commit{log: log}
	c.coordinator = twophase.New(twophase.Config{
		Log: log, Shards: shards, Logger: logger,
		Connect: Connector(cfg.Pick),
	})
	limited, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	if err := c.coordinator.Resolve(limited); err != nil {
		logger.Warn("transactions that were left in the middle of a commit could not all be resolved; it will be tried again", "error", err)
	}
	c.orphans(limited, shards, cfg)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	c.wg.Go(func() { _ = c.coordinator.Run(running) })
	return c, nil
}

// orphans names the transactions that are prepared and not this log's. Some may be those of
// another proxy that is at work; those of a log that is lost stay, with their locks, until
// somebody decides.
func (c *commit) orphans(ctx context.Context, shards int, cfg *Config) {
	list, err := twophase.Left(ctx, shards, Connector(cfg.Pick))
	if err != nil {
		cfg.Logger.Warn("not all shards could be asked for transactions that other proxies have left", "error", err)
	}
	for _, o := range list {
		if o.Instance != c.log.Instance() {
			cfg.Logger.Warn("a transaction is prepared that is not this proxy's; if its log is lost, decide by proxy orphans", "transaction", o.Name, "shards", o.Prepared, "since", o.Since+" UTC")
		}
	}
}

// close ends it, once no session uses it any more.
func (c *commit) close() error {
	c.cancel()
	c.wg.Wait()
	return c.log.Close()
}
