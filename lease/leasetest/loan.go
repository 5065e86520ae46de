package leasetest

import (
	"context"
	"errors"
	"net/url"

	"github.com/pgx-dev/pgx-dev/lease"
)

// A loan is a database that a test has.
type loan struct {
	url string
	end func(keep bool, reason string) error
}

// fromServer leases from a server that runs.
func fromServer(ctx context.Context, socket, pool, label string) (*loan, error) {
	client, err := lease.Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	held, err := client.Acquire(ctx, lease.Want{Pool: pool, Label: label})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	text := held.URL
	if text == "" { // names only: PG* variables say the rest
		u := url.URL{Scheme: "postgresql", Path: "/" + held.Name}
		text = u.String()
	}
	return &loan{url: text, end: func(keep bool, reason string) error {
		var err error
		if keep {
			err = held.Keep(context.Background(), reason)
		}
		return errors.Join(err, client.Close())
	}}, nil
}

// fromProcess leases from a pool of this process.
func fromProcess(ctx context.Context, cfg lease.PoolConfig, label string) (*loan, error) {
	pool, err := shared.pool(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l, err := pool.Acquire(ctx, lease.Holder{Label: label})
	if err != nil {
		return nil, err
	}
	return &loan{url: l.Item.URL, end: func(keep bool, reason string) error {
		if keep {
			l.Keep(reason)
		}
		l.Release()
		return nil
	}}, nil
}
