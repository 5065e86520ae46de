package replication

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/wire"
)

// SlotOptions say which replication slot [Conn.CreateSlot] makes.
type SlotOptions struct {
	// Plugin is the output plugin of a logical slot, for instance "pgoutput". Empty makes a
	// physical slot.
	Plugin string
	// Temporary slots go with the connection. From version 10 on.
	Temporary bool
	// ReserveWAL makes a physical slot keep WAL from now on rather than from its first use.
	// From version 9.6 on.
	ReserveWAL bool
	// Snapshot says what becomes of the snapshot at which a logical slot begins: "export"
	// (the default) makes its name usable until the connection's next command, "use" makes
	// the current transaction use it, "nothing" drops it. From version 10 on.
	Snapshot string
	// TwoPhase decodes prepared transactions when they are prepared. From version 15 on.
	TwoPhase bool
	// Failover lets the slot be synchronized to standbys. From version 17 on.
	Failover bool
}

// A Slot is a replication slot just made.
type Slot struct {
	Name            string
	ConsistentPoint wire.LSN // from which a logical slot streams; 0 for a physical one
	Snapshot        string   // exported; empty if none
	Plugin          string
}

// CreateSlot makes a replication slot.
func (c *Conn) CreateSlot(ctx context.Context, name string, opts SlotOptions) (Slot, error) {
	if err := opts.check(c.version); err != nil {
		return Slot{}, fmt.Errorf("create replication slot %s: %w", name, err)
	}
	row, err := c.one(ctx, createSlotCommand(c.version, name, opts), 4)
	if err != nil {
		return Slot{}, fmt.Errorf("create replication slot %s: %w", name, err)
	}
	s := Slot{Name: string(row[0]), Snapshot: string(row[2]), Plugin: string(row[3])}
	if opts.Plugin != "" {
		if s.ConsistentPoint, err = wire.ParseLSN(string(row[1])); err != nil {
			return Slot{}, fmt.Errorf("create replication slot %s: %w", name, err)
		}
	}
	return s, nil
}

func (o SlotOptions) check(version int) error {
	logical := o.Plugin != ""
	switch {
	case version < 90400:
		return errors.New("servers before 9.4 have no replication slots")
	case o.Temporary && version < 100000:
		return errors.New("servers before 10 have no temporary slots")
	case o.ReserveWAL && (logical || version < 90600):
		return errors.New("only physical slots of servers from 9.6 on can reserve WAL when made")
	case !logical && (o.Snapshot != "" || o.TwoPhase || o.Failover && version < 170000):
		return errors.New("snapshot and two-phase are for logical slots: name a plugin")
	case o.Snapshot != "" && version < 100000:
		return errors.New("servers before 10 always export the snapshot")
	case o.TwoPhase && version < 150000:
		return errors.New("servers before 15 cannot be asked for two-phase slots this way")
	case o.Failover && version < 170000:
		return errors.New("servers before 17 have no failover slots")
	}
	switch o.Snapshot {
	case "", "export", "use", "nothing":
		return nil
	}
	return fmt.Errorf("snapshot %q: use export, use or nothing", o.Snapshot)
}

func createSlotCommand(version int, name string, o SlotOptions) string {
	words := "CREATE_REPLICATION_SLOT " + QuoteIdent(name)
	if o.Temporary {
		words += " TEMPORARY"
	}
	list := &optionList{named: version >= 150000}
	if o.Plugin == "" {
		words += " PHYSICAL"
		list.flag(o.ReserveWAL, "RESERVE_WAL")
	} else {
		words += " LOGICAL " + QuoteIdent(o.Plugin)
		switch {
		case o.Snapshot == "":
		case list.named:
			list.add("SNAPSHOT", QuoteLiteral(o.Snapshot))
		default:
			list.flag(true, map[string]string{
				"export": "EXPORT_SNAPSHOT", "use": "USE_SNAPSHOT", "nothing": "NOEXPORT_SNAPSHOT",
			}[o.Snapshot])
		}
		list.flag(o.TwoPhase, "TWO_PHASE")
	}
	list.flag(o.Failover, "FAILOVER")
	return list.command(words)
}

// DropSlot drops a replication slot. With wait it waits for a slot in use to become free,
// else that is an error with code 55006 (object_in_use).
func (c *Conn) DropSlot(ctx context.Context, name string, wait bool) error {
	command := "DROP_REPLICATION_SLOT " + QuoteIdent(name)
	if wait {
		command += " WAIT"
	}
	if _, err := c.Query(ctx, command); err != nil {
		return fmt.Errorf("drop replication slot %s: %w", name, err)
	}
	return nil
}

// SlotPosition is what [Conn.ReadSlot] returns.
type SlotPosition struct {
	Type     string   // "physical" or "logical"; empty if there is no such slot
	Restart  wire.LSN // oldest WAL that is kept for it
	Timeline uint32   // of Restart
}

// ReadSlot asks where a physical slot stands. Servers before 15 do not know the command.
func (c *Conn) ReadSlot(ctx context.Context, name string) (SlotPosition, error) {
	row, err := c.one(ctx, "READ_REPLICATION_SLOT "+QuoteIdent(name), 3)
	if err != nil {
		return SlotPosition{}, fmt.Errorf("read replication slot %s: %w", name, err)
	}
	p := SlotPosition{Type: string(row[0])}
	if row[1] != nil {
		if p.Restart, err = wire.ParseLSN(string(row[1])); err != nil {
			return SlotPosition{}, fmt.Errorf("read replication slot %s: %w", name, err)
		}
	}
	if row[2] != nil {
		if p.Timeline, err = parseTimeline(row[2]); err != nil {
			return SlotPosition{}, fmt.Errorf("read replication slot %s: %w", name, err)
		}
	}
	return p, nil
}

// AdvanceSlot moves a slot forward without streaming, on a [Logical] connection, and
// returns where it then stands. Servers before 11 do not know the function.
func (c *Conn) AdvanceSlot(ctx context.Context, name string, to wire.LSN) (wire.LSN, error) {
	row, err := c.one(ctx, fmt.Sprintf("SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance(%s, '%v')", QuoteLiteral(name), to), 1)
	if err != nil {
		return 0, fmt.Errorf("advance replication slot %s: %w", name, err)
	}
	return wire.ParseLSN(string(row[0]))
}
