package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/console"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/metrics"
)

// console returns what the admin database and the metrics endpoint know the proxy by.
func (s *proxyServing) console(env *Env, members *fleet.Fleet, shutdown func(wait bool)) *console.Console {
	cfg := console.Config{Fleet: members, Config: s.config.Load, Peers: s.figures, Log: env.Log}
	cfg.FindDump = func(ctx context.Context, major int) (string, error) { return findPgDump(ctx, env, "", major) }
	if env.Command == nil { // else it ends with the command
		cfg.Shutdown = shutdown
	}
	if s.reload != nil { // without a configuration the servers are not of one
		cfg.Reload = func() error {
			s.changing.Lock()
			defer s.changing.Unlock()
			return s.readAgain(members)
		}
		cfg.Apply = func(c *conf.Config) error {
			s.changing.Lock()
			defer s.changing.Unlock()
			env.Log.Info("a setting was changed by the admin database")
			return s.apply(c, members)
		}
		cfg.Exchange = func(a, b string, check func() error) error {
			s.changing.Lock()
			defer s.changing.Unlock()
			if err := check(); err != nil {
				return err
			}
			return s.exchange(env, members, a, b)
		}
	}
	return console.New(cfg)
}

// watchProxy serves metrics and health, where the configuration wants them, until end is
// called, which waits for it.
func watchProxy(ctx context.Context, env *Env, panel *console.Console, cfg *conf.Config, sockets *proxySockets) (end func(), err error) {
	g := &cfg.General
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var servers []*http.Server
	end = func() {
		cancel()
		for _, s := range servers {
			_ = s.Close()
		}
		wg.Wait()
	}
	serve := func(host string, port uint16, what string, h http.Handler) error {
		l, err := sockets.listenFor(what, net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err != nil {
			return fmt.Errorf("listen for %s: %w", what, err)
		}
		s := metrics.NewServer(h)
		servers = append(servers, s)
		wg.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				env.Log.Warn("the endpoint has ended", "for", what, "error", err)
			}
		})
		env.Log.Info("listening", "for", what, "address", l.Addr())
		return nil
	}
	wg.Go(func() { panel.Run(ctx) })
	if g.OpenmetricsPort != 0 {
		h := &metrics.Handler{Snapshot: panel.Metrics, Averager: panel.Averager(), Namespace: g.OpenmetricsNamespace, Healthy: panel.Healthy}
		err = serve(cmp.Or(g.OpenmetricsHost, g.Host), g.OpenmetricsPort, forMetrics, h)
	}
	if err == nil && g.HealthcheckPort != 0 && g.HealthcheckPort != g.OpenmetricsPort {
		err = serve(g.Host, g.HealthcheckPort, forHealth, metrics.HealthHandler(panel.Healthy))
	}
	if err != nil {
		end()
		return nil, err
	}
	return end, nil
}
