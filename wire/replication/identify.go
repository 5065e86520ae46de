package replication

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A System is what a server says of itself.
type System struct {
	ID       string   // of the cluster, as made by initdb; copies of it share it
	Timeline uint32   // current
	Position wire.LSN // to which WAL has been flushed
	Database string   // that the connection belongs to; empty if to none
}

// IdentifySystem asks the server who it is.
func (c *Conn) IdentifySystem(ctx context.Context) (System, error) {
	row, err := c.one(ctx, "IDENTIFY_SYSTEM", 3)
	if err != nil {
		return System{}, err
	}
	s := System{ID: string(row[0])}
	if s.Timeline, err = parseTimeline(row[1]); err != nil {
		return System{}, fmt.Errorf("IDENTIFY_SYSTEM: %w", err)
	}
	if s.Position, err = wire.ParseLSN(string(row[2])); err != nil {
		return System{}, fmt.Errorf("IDENTIFY_SYSTEM: %w", err)
	}
	if len(row) > 3 { // since 9.4
		s.Database = string(row[3])
	}
	return s, nil
}

// Show returns the value of a setting. Servers before version 10 do not know the command.
func (c *Conn) Show(ctx context.Context, name string) (string, error) {
	row, err := c.one(ctx, "SHOW "+QuoteIdent(name), 1)
	if err != nil {
		return "", err
	}
	return string(row[0]), nil
}

// TimelineHistory returns the name and the content of a timeline's history file. The first
// timeline has none.
func (c *Conn) TimelineHistory(ctx context.Context, timeline uint32) (name string, content []byte, err error) {
	row, err := c.one(ctx, fmt.Sprintf("TIMELINE_HISTORY %d", timeline), 2)
	if err != nil {
		return "", nil, err
	}
	return string(row[0]), row[1], nil
}

func parseTimeline(b []byte) (uint32, error) {
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("timeline %.20q is no number", b)
	}
	return uint32(n), nil
}
