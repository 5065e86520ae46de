package proxy

import "github.com/pgx-dev/pgx-dev/proxy/claim"

// Limits are the pool and what bounds its connections together with other pools', which sessions on
// several shards must know, lest they wait for each other.
func (c *shardConn) Limits() (pool any, limits []claim.Limit) {
	p := c.c.Pool()
	return p, p.Limits()
}
