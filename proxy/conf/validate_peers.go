package conf

// validatePeers checks that the peers can be told apart and reached.
func (c *Config) validatePeers(m *mistakes) {
	own := c.PgBouncer.PeerID
	if own < 0 || own > MaxPeer {
		m.add("pgbouncer.peer_id", "must be between 1 and %d, have %d", MaxPeer, own)
	}
	if len(c.Peers) > 0 && own == 0 {
		m.add("pgbouncer.peer_id", "must say which of the peers this proxy is")
	}
	seen := map[int]bool{}
	for i := range c.Peers {
		p := &c.Peers[i]
		at := func(field string) string { return index("peers", i, field) }
		switch {
		case p.ID < 1 || p.ID > MaxPeer:
			m.add(at("id"), "must be between 1 and %d, have %d", MaxPeer, p.ID)
		case seen[p.ID]:
			m.add(at("id"), "%d is there already", p.ID)
		}
		seen[p.ID] = true
		if p.Host == "" && p.ID != own {
			m.add(at("host"), "must not be empty")
		}
		if p.PoolSize < 0 {
			m.add(at("pool_size"), "must not be negative, have %d", p.PoolSize)
		}
	}
}
