package commands

import (
	"context"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
)

// end ends the proxy. With a wait that is not negative it first lets clients go by themselves,
// for that long, or, if it is 0, without a limit. Then transactions may end, as long as the
// configuration allows. A signal cuts either short.
func (s *proxyServing) end(ctx context.Context, env *Env, px *proxy.Proxy, wait time.Duration, alive <-chan time.Time) {
	if o := s.sockets.offer; o == nil || !o.Taken() {
		s.notify(env, s.sockets.notifier.Stopping("letting transactions end"))
	}
	if wait >= 0 {
		limited, cancel := ctx, context.CancelFunc(func() {})
		if wait > 0 {
			limited, cancel = context.WithTimeout(ctx, wait)
		}
		defer cancel()
		if err := s.meanwhile(env, alive, func() error { return px.Drain(limited) }); err != nil {
			env.Log.Info("not all clients have gone by themselves", "left", px.Stats().Clients)
		}
		if t := s.sockets.taken; t != nil && s.sockets.offer.Taken() {
			// Cancel requests for its clients come by us.
			_ = s.meanwhile(env, alive, func() error { t.Ended(limited); return nil })
		}
	}
	patience := s.config.Load().General.ShutdownTimeout
	if env.Command != nil {
		patience = min(patience, 5*time.Second) // its connections are nobody's any more
	}
	polite, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := s.meanwhile(env, alive, func() error { return px.Shutdown(polite) }); err != nil {
		env.Log.Info("sessions were cut off", "error", err)
	}
}

// meanwhile does something that takes its time, and keeps the watchdog quiet.
func (s *proxyServing) meanwhile(env *Env, alive <-chan time.Time, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	for {
		select {
		case err := <-done:
			return err
		case <-alive:
			s.notify(env, s.sockets.notifier.Alive())
		}
	}
}

// notify logs that the service manager could not be told.
func (s *proxyServing) notify(env *Env, err error) {
	if err != nil {
		env.Log.Warn("the service manager does not know how we are", "error", err)
	}
}

// watchdog ticks twice as often as the service manager wants to hear of us.
func (p *proxySockets) watchdog() (ticks <-chan time.Time, end func()) {
	every := p.notifier.Watchdog() / 2
	if every <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}
