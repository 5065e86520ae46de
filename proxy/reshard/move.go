package reshard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication"
)

// A Move copies the rows of a publication from one database to another, and follows their changes. Copy
// and Stream are called one after the other; what they tell of themselves may be asked for meanwhile.
type Move struct {
	Source, Destination Database
	Publication         string
	// Slot is the name of the replication slots, and of the progress on the destination: with the same
	// name a move goes on where another one was killed. On several source shards, the shard's number
	// follows it.
	Slot    string
	Options Options
	// Log gets what is worth telling. Nil discards it.
	Log *slog.Logger

	mu     sync.Mutex
	copies []*TableCopy
	slots  []*slot
}

// slotOf is the slot's name on a source shard.
func (m *Move) slotOf(shard int) string {
	if len(m.Source.Shards) == 1 {
		return m.Slot
	}
	return fmt.Sprintf("%s_%d", m.Slot, shard)
}

func (m *Move) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

// Check reads the publication on every source shard, and says why its tables cannot be moved: all that is
// wrong at once.
func (m *Move) Check(ctx context.Context) error {
	_, err := m.plan(ctx, false)
	return err
}

// plan reads the tables of each source shard; with matched it compares them with the destination's.
func (m *Move) plan(ctx context.Context, matched bool) ([][]*table, error) {
	out := make([][]*table, len(m.Source.Shards))
	var g errgroup.Group
	for i := range m.Source.Shards {
		g.Go(func() (err error) {
			if out[i], err = m.tables(ctx, i); err != nil {
				return fmt.Errorf("shard %d of %s (%s): %w", i, m.Source.Name, &m.Source.Shards[i], err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if !matched {
		return out, nil
	}
	for d := range m.Destination.Shards {
		if err := m.compare(ctx, d, out); err != nil {
			return nil, fmt.Errorf("shard %d of %s (%s): %w", d, m.Destination.Name, &m.Destination.Shards[d], err)
		}
	}
	return out, nil
}

// tables reads those of one source shard.
func (m *Move) tables(ctx context.Context, shard int) ([]*table, error) {
	conn, err := m.Source.Shards[shard].connect(ctx)
	if err != nil {
		return nil, err
	}
	defer shut(ctx, conn)
	if level, err := one(ctx, conn, "SELECT current_setting('wal_level')"); err != nil {
		return nil, err
	} else if level != "logical" {
		return nil, finalf("wal_level is %s: changes cannot be followed; set it to logical and restart the server", level)
	}
	all, err := published(ctx, conn, m.Publication)
	if all == nil {
		return nil, err
	}
	var out []*table
	errs := []error{err}
	for _, t := range all {
		if err := t.place(m.Destination.Layout, len(m.Source.Shards)); err != nil {
			errs = append(errs, err)
		}
		out = append(out, t)
	}
	return out, errors.Join(errs...)
}

// compare compares the tables with those of a destination shard.
func (m *Move) compare(ctx context.Context, shard int, tables [][]*table) error {
	conn, err := m.Destination.Shards[shard].connect(ctx)
	if err != nil {
		return err
	}
	defer shut(ctx, conn)
	var errs []error
	for _, list := range tables {
		for _, t := range list {
			errs = append(errs, t.matches(ctx, conn))
		}
	}
	errs = append(errs, alwaysFires(ctx, conn, distinct(tables)))
	return errors.Join(errs...)
}

// Begin makes the slots, from whose positions on the sources keep their changes, and the tables of ours on
// the destination. Slots that are there already go on.
func (m *Move) Begin(ctx context.Context) error {
	m.Options = m.Options.filled()
	known := map[string]bool{}
	for d := range m.Destination.Shards {
		err := func() error {
			conn, err := m.replica(ctx, d)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			if err := prepareProgress(ctx, conn); err != nil {
				return err
			}
			have, err := slots(ctx, conn)
			maps.Copy(known, have)
			return err
		}()
		if err != nil {
			return fmt.Errorf("shard %d of %s (%s): %w", d, m.Destination.Name, &m.Destination.Shards[d], err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.slots) > 0 {
		return nil
	}
	for i := range m.Source.Shards {
		s := &slot{server: &m.Source.Shards[i], name: m.slotOf(i)}
		err := s.make(ctx)
		if err == nil && s.ours && known[s.name] {
			err = finalf("the replication slot %q was there when rows were copied, or changes applied, by its name, and has gone since: what was changed in between cannot be had any more; TRUNCATE the tables and DROP SCHEMA %s CASCADE on all shards of %s, and begin again", s.name, Schema, m.Destination.Name)
		}
		if err != nil {
			for _, done := range append(m.slots, s) {
				done.close()
				if done.ours {
					_ = done.drop(context.WithoutCancel(ctx))
				}
			}
			m.slots = nil
			return fmt.Errorf("shard %d of %s (%s): %w", i, m.Source.Name, s.server, err)
		}
		m.slots = append(m.slots, s)
	}
	return nil
}

// replica opens a session on a destination shard in which no trigger fires and no foreign key is checked,
// as in PostgreSQL's own subscribers.
func (m *Move) replica(ctx context.Context, shard int) (*pgconn.PgConn, error) {
	conn, err := m.Destination.Shards[shard].connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := do(ctx, conn, "SET session_replication_role = replica"); err != nil {
		shut(ctx, conn)
		return nil, fmt.Errorf("rows are to be written as they are, without triggers: %w (the user has to be a superuser, or, from PostgreSQL 15 on, be GRANTed SET ON PARAMETER session_replication_role)", err)
	}
	return conn, nil
}

// Done drops what the move has made: the slots, and with progress the tables on the destination, too. The
// error names what stays; it may be called again.
func (m *Move) Done(ctx context.Context, progress bool) error {
	m.mu.Lock()
	slots := m.slots
	m.slots = nil
	m.mu.Unlock()
	var errs []error
	var left []*slot
	for i, s := range slots {
		s.close()
		if err := s.drop(ctx); err != nil {
			left = append(left, s)
			errs = append(errs, fmt.Errorf("the replication slot %q stays on shard %d of %s (%s), which keeps its WAL until SELECT pg_drop_replication_slot('%s'): %w", s.name, i, m.Source.Name, s.server, s.name, err))
		}
	}
	if len(left) > 0 {
		m.mu.Lock()
		m.slots = left
		m.mu.Unlock()
	}
	if !progress {
		return errors.Join(errs...)
	}
	for d := range m.Destination.Shards {
		err := func() error {
			conn, err := m.Destination.Shards[d].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			return forget(ctx, conn)
		}()
		if err != nil {
			errs = append(errs, fmt.Errorf("the schema %s stays on shard %d of %s (%s): %w", Schema, d, m.Destination.Name, &m.Destination.Shards[d], err))
		}
	}
	return errors.Join(errs...)
}

// A slot is a replication slot of a source shard, and the snapshot at which tables are copied.
type slot struct {
	server *Server
	name   string
	ours   bool // made by this move

	mu       sync.Mutex
	conn     *replication.Conn // exports the snapshot; nil: there is none
	snapshot string
	at       wire.LSN
	figures  slotFigures
}

// make makes the permanent slot, unless it is there. The snapshot that it begins with is the tables'.
func (s *slot) make(ctx context.Context) error {
	conn, err := s.server.replicate(ctx)
	if err != nil {
		return err
	}
	made, err := conn.CreateSlot(ctx, s.name, replication.SlotOptions{Plugin: "pgoutput", Snapshot: "export"})
	if code(err) == "42710" { // duplicate_object
		_ = conn.Close()
		return nil
	}
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("make the replication slot %q: %w", s.name, err)
	}
	s.ours, s.conn, s.snapshot, s.at = true, conn, made.Snapshot, made.ConsistentPoint
	return nil
}

// export returns a snapshot that sessions can take over, and its position. It stays as long as the
// connection that has it; after lost, another one is made.
func (s *slot) export(ctx context.Context) (snapshot string, at wire.LSN, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		return s.snapshot, s.at, nil
	}
	conn, err := s.server.replicate(ctx)
	if err != nil {
		return "", 0, err
	}
	made, err := conn.CreateSlot(ctx, s.name+"_copy", replication.SlotOptions{Plugin: "pgoutput", Snapshot: "export", Temporary: true})
	if err != nil {
		_ = conn.Close()
		return "", 0, fmt.Errorf("make a replication slot for a snapshot: %w", err)
	}
	s.conn, s.snapshot, s.at = conn, made.Snapshot, made.ConsistentPoint
	return s.snapshot, s.at, nil
}

// lost says that a snapshot cannot be had any more.
func (s *slot) lost(snapshot string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && s.snapshot == snapshot {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// close lets go of the snapshot.
func (s *slot) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// dropStale drops slots of the move's names, and their progress, that an earlier attempt has left.
func (m *Move) dropStale(ctx context.Context) error {
	for i := range m.Source.Shards {
		s := &slot{server: &m.Source.Shards[i], name: m.slotOf(i)}
		if err := s.drop(ctx); err != nil {
			return fmt.Errorf("drop the replication slot %q on shard %d of %s (%s): %w", s.name, i, m.Source.Name, s.server, err)
		}
		for d := range m.Destination.Shards {
			err := func() error {
				conn, err := m.Destination.Shards[d].connect(ctx)
				if err != nil {
					return err
				}
				defer shut(ctx, conn)
				return forgetSlot(ctx, conn, s.name)
			}()
			if err != nil {
				return fmt.Errorf("forget the progress of the replication slot %q on shard %d of %s (%s): %w", s.name, d, m.Destination.Name, &m.Destination.Shards[d], err)
			}
		}
	}
	return nil
}

// drop drops the permanent slot.
func (s *slot) drop(ctx context.Context) error {
	conn, err := s.server.connect(ctx)
	if err != nil {
		return err
	}
	defer shut(ctx, conn)
	for began := time.Now(); ; {
		// Its walsender may not have noticed yet that nobody listens.
		_, err := query(ctx, conn, "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", s.name)
		if code(err) != "55006" || time.Since(began) > dropFor { // object_in_use
			return err
		}
		if e := pause(ctx, dropPause); e != nil {
			return err
		}
	}
}
