package reshard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// lull is how long nothing may come before what has gathered is committed: transactions of the source that
// follow each other are one on the destination, at most for so long.
const lull = 20 * time.Millisecond

// slotFigures are what is known of a slot.
type slotFigures struct {
	position atomic.Uint64 // all before it is applied
	lag      atomic.Int64  // bytes; -1: not known yet
	last     atomic.Int64  // Unix time in ns of the last transaction; 0: none
}

// A Slot is a replication slot of a move as it is now.
type Slot struct {
	Host           string
	Port           int
	Database, Name string
	// Position is how far the changes have been applied; Lag how much the server has written beyond it,
	// in bytes, as of at most some seconds ago; negative if that is not known.
	Position wire.LSN
	Lag      int64
	// Last is when the last transaction came; zero if none has.
	Last time.Time
}

// Slots are the slots of the source's shards.
func (m *Move) Slots() []Slot {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Slot, 0, len(m.slots))
	for _, s := range m.slots {
		f := Slot{
			Host: s.server.Config.Host, Port: int(s.server.Config.Port), Database: s.server.Config.Database, Name: s.name,
			Position: wire.LSN(s.figures.position.Load()), Lag: s.figures.lag.Load(),
		}
		if f.Position == 0 {
			f.Lag = -1
		}
		if ns := s.figures.last.Load(); ns != 0 {
			f.Last = time.Unix(0, ns)
		}
		out = append(out, f)
	}
	return out
}

// Stream applies changes until ctx ends, which is no error, or until it cannot go on. Copy has been called,
// by this move or by an earlier one of the same slot.
func (m *Move) Stream(ctx context.Context) error {
	tables, err := m.planned(ctx)
	if err != nil {
		return unlessOver(ctx, err)
	}
	g, inner := errgroup.WithContext(ctx)
	for i := range m.Source.Shards {
		g.Go(func() error { return m.follow(inner, i, tables[i]) })
		g.Go(func() error { m.watch(inner, m.slots[i]); return nil })
	}
	return unlessOver(ctx, g.Wait())
}

// unlessOver is an error, unless ctx has ended, which then is the reason.
func unlessOver(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// planned is plan, as often as a connection is lost.
func (m *Move) planned(ctx context.Context) ([][]*table, error) {
	for fails := 1; ; fails++ {
		tables, err := m.plan(ctx, true)
		if err == nil || !passing(err) || m.Options.StreamAttempts > 0 && fails >= m.Options.StreamAttempts {
			return tables, err
		}
		if err := pause(ctx, m.Options.StreamDelay); err != nil {
			return nil, err
		}
	}
}

// follow applies one source shard's changes, as often as the connections are lost.
func (m *Move) follow(ctx context.Context, shard int, tables []*table) error {
	fails := 0
	for {
		began := wire.LSN(m.slots[shard].figures.position.Load())
		err := m.attempt(ctx, shard, tables)
		if err = unlessOver(ctx, err); err == nil {
			return nil
		}
		if wire.LSN(m.slots[shard].figures.position.Load()) > began {
			fails = 0
		}
		fails++
		if !passing(err) || m.Options.StreamAttempts > 0 && fails >= m.Options.StreamAttempts {
			return fmt.Errorf("follow the changes of shard %d of %s (%s): %w", shard, m.Source.Name, m.slots[shard].server, err)
		}
		m.log().Warn("follow changes again", "shard", shard, "error", err, "in", m.Options.StreamDelay)
		if err := pause(ctx, m.Options.StreamDelay); err != nil {
			return unlessOver(ctx, err)
		}
	}
}

// watch measures the lag.
func (m *Move) watch(ctx context.Context, s *slot) {
	for ctx.Err() == nil {
		err := func() error {
			conn, err := s.server.connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			for {
				now, err := currentLSN(ctx, conn)
				if err != nil {
					return err
				}
				if at := s.figures.position.Load(); at != 0 {
					s.figures.lag.Store(max(0, int64(now)-int64(at)))
				}
				if err := pause(ctx, time.Second); err != nil {
					return err
				}
			}
		}()
		if err != nil && pause(ctx, time.Second) != nil {
			return
		}
	}
}

// A streamer is one attempt.
type streamer struct {
	m         *Move
	slot      *slot
	shard     int  // of the source
	several   bool // source shards
	tables    map[name]*table
	omni      map[name]bool // tables whose rows the first source shard has, too
	byOID     map[uint32]*table
	relations map[*pgoutput.Relation]*relation
	appliers  []*applier
	sub       *replication.Subscriber

	final  wire.LSN // of the open transaction
	change int64    // counts its changes
	end    wire.LSN // of the last transaction that was read
}

func (m *Move) attempt(ctx context.Context, shard int, tables []*table) error {
	s := &streamer{
		m: m, slot: m.slots[shard], shard: shard, several: len(m.Source.Shards) > 1,
		tables: map[name]*table{}, omni: map[name]bool{}, byOID: map[uint32]*table{}, relations: map[*pgoutput.Relation]*relation{},
	}
	for _, t := range tables {
		if shard > 0 && t.once(m.Source.Layout) {
			s.omni[t.name] = true
			continue
		}
		s.tables[t.name] = t
	}
	defer func() {
		for _, a := range s.appliers {
			shut(ctx, a.conn)
		}
	}()
	for d := range m.Destination.Shards {
		conn, err := m.replica(ctx, d)
		if err != nil {
			return err
		}
		a := &applier{shard: d, conn: conn, slot: s.slot.name}
		s.appliers = append(s.appliers, a)
		if err := prepareProgress(ctx, conn); err != nil {
			return err
		}
		if err := a.begin(ctx); err != nil {
			return err
		}
		if err := s.whole(a); err != nil {
			return err
		}
	}
	conn, err := s.slot.server.replicate(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	s.sub, err = conn.Subscribe(ctx, replication.SubscribeOptions{Slot: s.slot.name, Publications: []string{m.Publication}, StatusInterval: time.Second})
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// whole refuses to follow a table that was not copied where others were.
func (s *streamer) whole(a *applier) error {
	if len(a.start) == 0 {
		return nil // the rows came there in another way
	}
	for _, t := range s.tables {
		if !slices.Contains(s.all(t), a.shard) {
			continue
		}
		was, ok := a.start[t.name]
		if !ok {
			return finalError{fmt.Errorf("table %s was not copied to shard %d: copy again", t, a.shard)}
		}
		if err := s.m.alike(t, was, a.shard); err != nil {
			return err
		}
	}
	return nil
}

// run applies what comes. It commits when nothing has come for a while, or much has.
func (s *streamer) run(ctx context.Context) error {
	for {
		short, cancel := context.WithTimeout(ctx, lull)
		err := s.read(ctx, short)
		timeout := short.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !(timeout && errors.Is(err, context.DeadlineExceeded)):
			if errors.Is(err, io.EOF) {
				err = again{errors.New("the server has ended the stream of changes")}
			}
			return err
		}
		if s.final != 0 {
			continue // in the middle of a transaction, which is committed as a whole
		}
		if err := s.commit(ctx); err != nil {
			return err
		}
		if err := s.acknowledge(); err != nil {
			return err
		}
	}
}

// read takes changes until short ends or there is enough to commit. What has come is applied though short
// is over.
func (s *streamer) read(ctx, short context.Context) error {
	for {
		ch, err := s.sub.Next(short)
		if err != nil {
			return err
		}
		if err := s.take(ctx, ch); err != nil {
			return err
		}
		if s.final != 0 {
			continue
		}
		for _, a := range s.appliers {
			if len(a.queue) >= s.m.Options.Batch || a.bytes >= 1<<20 || a.open {
				return nil
			}
		}
	}
}

// take applies one change.
func (s *streamer) take(ctx context.Context, ch replication.Change) error {
	switch m := ch.Message.(type) {
	case *pgoutput.Begin:
		s.final, s.change = m.FinalLSN, 0
		return nil
	case *pgoutput.Commit:
		for _, a := range s.appliers {
			if a.touched() {
				a.upTo = m.EndLSN
			}
		}
		s.final, s.end = 0, m.EndLSN
		s.slot.figures.last.Store(time.Now().UnixNano())
		return nil
	}
	switch ch.Message.(type) {
	case *pgoutput.Insert, *pgoutput.Update, *pgoutput.Delete, *pgoutput.Truncate:
		s.change++ // descriptions do not come at the same places again
	}
	if err := s.apply(ctx, ch); err != nil {
		return err
	}
	for _, a := range s.appliers {
		if len(a.queue) >= s.m.Options.Batch || a.bytes >= 1<<20 {
			if s.final == 0 {
				continue
			}
			if err := a.flush(ctx, false); err != nil { // a large transaction, whose end is far
				return err
			}
		}
	}
	return nil
}

// commit commits what is queued, on all shards at once.
func (s *streamer) commit(ctx context.Context) error {
	var g errgroup.Group
	for _, a := range s.appliers {
		if a.touched() {
			g.Go(func() error {
				if err := a.flush(ctx, true); err != nil {
					return fmt.Errorf("%s: %w", &s.m.Destination.Shards[a.shard], err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// acknowledge tells the source that what was read is safe: each shard has committed what concerns it.
func (s *streamer) acknowledge() error {
	if s.end != 0 {
		if err := s.sub.Acknowledge(s.end, true); err != nil {
			return err
		}
		s.end = 0
	} else if at := s.sub.Acknowledged(); at != 0 && uint64(at) != s.slot.figures.position.Load() {
		// What the server says that it has passed without anything for us.
		if err := s.sub.Acknowledge(at, true); err != nil {
			return err
		}
	}
	s.slot.figures.position.Store(max(s.slot.figures.position.Load(), uint64(s.sub.Acknowledged())))
	return nil
}
