package commands

import (
	"errors"
	"reflect"
	"slices"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// An exchange is one of two databases' names that the configuration's files do not have.
type exchange struct {
	a, b   string
	before []string // the servers of a before
}

// exchange gives two databases each other's name. The caller keeps others from changing the configuration.
func (s *proxyServing) exchange(env *Env, members *fleet.Fleet, a, b string) error {
	cfg := s.config.Load()
	if err := cfg.Exchangeable(a, b); err != nil {
		return err
	}
	next := cfg.Exchanged(a, b)
	if err := next.Validate(); err != nil {
		return err
	}
	source, err := fleet.FromConfig(next, s.keys)
	if err != nil {
		return err
	}
	s.config.Store(next)
	members.Exchange(source, func() {
		s.proxy.Load().Kick(func(_ uint32, who proxy.Client) bool { return who.Database == a || who.Database == b })
	}, a, b)
	s.proxy.Load().Mirror(fleet.Mirrors(next))
	if !cfg.General.CutoverSaveConfig {
		s.exchanged = append(s.exchanged, exchange{a, b, cfg.Addresses(a)})
		env.Log.Warn("two databases have each other's name until the proxy ends; exchange them in the configuration, too, or set cutover_save_config", "database", a, "other", b)
		return nil
	}
	if err := s.save(next, a, b); err != nil {
		s.exchanged = append(s.exchanged, exchange{a, b, cfg.Addresses(a)})
		env.Log.Error("the configuration is not saved: exchange the databases' names there before the proxy ends", "database", a, "other", b, "error", err)
	}
	return nil
}

// save exchanges the names in the files that the configuration was read from.
func (s *proxyServing) save(next *conf.Config, a, b string) error {
	if len(s.files) == 0 {
		return errors.New("it was not read from files")
	}
	return config.ExchangeNames(s.files, a, b, func() error {
		p, err := s.reload()
		if err != nil {
			return err
		}
		have := s.exchangedAgain(&p.Config)
		if !reflect.DeepEqual(have.Users, next.Users) || !reflect.DeepEqual(have.ShardedTables, next.ShardedTables) ||
			!slices.Equal(have.Addresses(a), next.Addresses(a)) || !slices.Equal(have.Addresses(b), next.Addresses(b)) {
			return errors.New("they say something else of the databases")
		}
		return nil
	})
}

// exchangedAgain does to a configuration that was read from the files what was done to the one in effect,
// unless somebody has done so in the files.
func (s *proxyServing) exchangedAgain(c *conf.Config) *conf.Config {
	for i, x := range s.exchanged {
		if !slices.Equal(c.Addresses(x.a), x.before) {
			s.exchanged = s.exchanged[:i]
			break
		}
		c = c.Exchanged(x.a, x.b)
	}
	return c
}
