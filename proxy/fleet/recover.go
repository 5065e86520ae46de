package fleet

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
)

// recoverPause is how long Recover waits before it tries again.
const recoverPause = 5 * time.Second

// Recover opens the databases that have a log of two-phase commit below dir, by database and
// user, so that what an earlier proxy left in the middle of a commit is resolved though no
// client comes. It tries until all are open or ctx ends; those that the configuration does
// not know any more are left to "proxy orphans".
func (f *Fleet) Recover(ctx context.Context, dir string) {
	logs, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return // the pattern is right
	}
	var wg sync.WaitGroup
	for _, path := range logs {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			continue
		}
		user, err := url.PathUnescape(filepath.Base(path))
		if err != nil {
			continue
		}
		database, err := url.PathUnescape(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if _, err := f.member(pair{user, database}); err != nil {
			f.log.Warn("a log of two-phase commit is not of this configuration; look at it with proxy orphans", "database", database, "user", user, "error", err)
			continue
		}
		wg.Go(func() { f.reopen(ctx, user, database) })
	}
	wg.Wait()
}

// reopen opens a database as a client would.
func (f *Fleet) reopen(ctx context.Context, user, database string) {
	for {
		_, err := f.Lookup(ctx, proxy.Client{User: user, Database: database})
		if err == nil || ctx.Err() != nil {
			return
		}
		f.log.Warn("transactions that may have been left in the middle of a commit cannot be resolved yet", "database", database, "user", user, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(recoverPause):
		}
	}
}
