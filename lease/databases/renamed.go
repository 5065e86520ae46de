package databases

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A holder may rename its database. It stays ours: its oid tells which one it is, and it goes
// where the lease does. Only a lease server that was killed leaves it, since nothing but the
// name tells others what that had made.

// A lent is a database by what its holder cannot change. On another server, as there is after one
// was lost, the same oid is another's.
type lent struct {
	on  *life
	oid uint32
}

// noteOID remembers which database has a name.
func (s *Source) noteOID(ctx context.Context, l *life, name string) error {
	var oid uint32
	err := l.admin(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = $1", name).Scan(&oid)
	})
	if err != nil {
		return fmt.Errorf("look at database %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent[name] = lent{l, oid}
	return nil
}

// renamed returns what the database that was lent under a name is called now, if that is
// another name.
func (s *Source) renamed(ctx context.Context, l *life, name string) (now string, err error) {
	s.mu.Lock()
	it := s.lent[name]
	s.mu.Unlock()
	if it.on != l {
		return "", nil
	}
	err = l.admin(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT datname FROM pg_database WHERE oid = $1 AND datname <> $2", it.oid, name).Scan(&now)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for database %s: %w", name, err)
	}
	return now, nil
}

// remove drops the database that was lent under a name, whatever it is called now, and
// what has that name.
func (s *Source) remove(ctx context.Context, l *life, name string) error {
	now, err := s.renamed(ctx, l, name)
	if err != nil {
		return err
	}
	if now != "" {
		s.log.Warn("the holder of a database had renamed it; it is dropped as any other", "name", name, "now", now)
		if err := l.remove(ctx, now); err != nil {
			return err
		}
	}
	return l.remove(ctx, name)
}
