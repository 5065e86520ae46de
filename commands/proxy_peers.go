package commands

import (
	"context"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/peers"
)

// peersOf are the other proxies that a configuration names.
func peersOf(c *conf.Config) (out []peers.Peer) {
	for i := range c.Peers {
		if p := &c.Peers[i]; p.ID != c.PgBouncer.PeerID {
			out = append(out, peers.Peer{ID: p.ID, Host: p.Host, Port: p.PortNumber(), Most: p.PoolSize})
		}
	}
	return out
}

// figures are what became of cancel requests for the peers' clients.
func (s *proxyServing) figures() []peers.Figure { return s.peers.Figures() }

// cancelElsewhere passes on the cancel requests that are for none of our clients: to the peer whose
// number they have, else to the proxy that this one has replaced.
func (s *proxyServing) cancelElsewhere(ctx context.Context) func(pid uint32, key []byte) {
	own := s.config.Load().PgBouncer.PeerID
	return func(pid uint32, key []byte) {
		if own > 0 && peers.Of(pid) != own {
			s.peers.Cancel(context.WithoutCancel(ctx), pid, key)
			return
		}
		s.sockets.cancelElsewhere(pid, key)
	}
}
