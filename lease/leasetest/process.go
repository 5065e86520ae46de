package leasetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/lease/databases"
	"github.com/pgx-dev/pgx-dev/lease/servers"
)

// shared is what the tests of this process have in common. It is the one thing that has
// to outlive a test and that no test can hand to the next.
var shared process

// A process serves pools on one temporary server.
type process struct {
	mu    sync.Mutex
	srv   engines.Server
	pools map[string]*lease.Pool // by configuration
}

// pool returns the pool of a configuration, which it starts when that is first asked for.
func (p *process) pool(ctx context.Context, cfg lease.PoolConfig) (*lease.Pool, error) {
	if cfg.Name == "" {
		cfg.Name = lease.DefaultPool
	}
	if err := cfg.WithDefaults().Validate(); err != nil {
		return nil, err
	}
	key, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if pool := p.pools[string(key)]; pool != nil {
		return pool, nil
	}
	if n := len(p.pools); n > 0 { // databases of two pools are told apart by their prefix
		cfg.Prefix = "lease_" + cfg.Name + "_" + strconv.Itoa(n) + "_"
	}
	src, err := p.source(cfg)
	if err != nil {
		return nil, err
	}
	pool := lease.NewPool(cfg, src, nil)
	pool.Start()
	if p.pools == nil {
		p.pools = map[string]*lease.Pool{}
	}
	p.pools[string(key)] = pool
	return pool, nil
}

// source returns what makes a pool's databases.
func (p *process) source(cfg lease.PoolConfig) (lease.Source, error) {
	if cfg.Engine == "wasm" {
		cache, err := place.Cache()
		return servers.New(servers.Config{
			Pool: cfg, Dir: ".", Store: filepath.Join(cache, "lease"),
			Engine: func() servers.Engine { return wasm.New(wasm.DefaultConfig()) },
		}), err
	}
	open, err := p.opener()
	return databases.New(databases.Config{Pool: cfg, Dir: "."}, open), err
}

// opener makes databases on the server of PGX_DEV_LEASE_URL, or on a temporary one.
func (p *process) opener() (databases.Opener, error) {
	if url := os.Getenv("PGX_DEV_LEASE_URL"); url != "" {
		return databases.AtURL(url)
	}
	return func(ctx context.Context) (databases.Host, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.srv != nil {
			select {
			case <-p.srv.Done():
				p.srv = nil
			default:
			}
		}
		if p.srv == nil {
			// What a killed test process left, a server's directory, is removed by the next.
			if _, err := cluster.SweepTemp(); err != nil {
				return nil, fmt.Errorf("remove old temporary clusters: %w", err)
			}
			srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{
				Fast: true, Params: map[string]string{"max_connections": "200", "max_prepared_transactions": "16"},
			})
			if err != nil {
				return nil, err
			}
			p.srv = srv
		}
		return databases.OnServer(notClosed{p.srv}, "temporary cluster"), nil
	}, nil
}

// notClosed is a server that belongs to the process, not to a pool.
type notClosed struct{ engines.Server }

func (notClosed) Close(context.Context) error { return nil }

func (p *process) close(ctx context.Context) error {
	p.mu.Lock()
	pools, srv := p.pools, p.srv
	p.pools, p.srv = nil, nil
	p.mu.Unlock()
	var errs []error
	for _, pool := range pools {
		errs = append(errs, pool.Close(ctx))
	}
	if srv != nil {
		errs = append(errs, srv.Close(ctx))
	}
	return errors.Join(errs...)
}

// Main runs a package's tests and then stops the server that they used, if the process
// served itself:
//
//	func TestMain(m *testing.M) { os.Exit(leasetest.Main(m)) }
//
// Without it the server ends with the process, and its files are removed by the next one.
func Main(m interface{ Run() int }) int {
	code := m.Run()
	if err := shared.close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "stop the test server:", err)
		code = max(code, 1)
	}
	return code
}
