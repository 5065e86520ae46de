package fleet

import (
	"context"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
)

// Probe logs in at the server of a URL, as c has servers reached, and returns how long that took.
func Probe(ctx context.Context, c *conf.Config, url string) (time.Duration, error) {
	one := conf.DefaultConfig()
	one.General, one.TCP = c.General, c.TCP
	if err := one.AddURL(url); err != nil {
		return 0, err
	}
	t, err := serverTLS(&one.General)
	if err != nil {
		return 0, err
	}
	s, _ := server(&one, &one.Users[0], &one.Databases[0], t)
	if d := one.General.ConnectTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	start := time.Now()
	nc, _, _, _, err := pool.Open(ctx, &s.Backend, nil)
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	_ = nc.Close()
	return took, nil
}
