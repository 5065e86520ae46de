package walsender

import (
	"context"

	"github.com/pgx-dev/pgx-dev/wire"
)

// createSlot makes a slot that begins at the end of the log and returns that position and,
// if snapshot is true, the tables as they are there.
func (p *Publisher) createSlot(name string, temporary bool, pid uint32, snapshot bool) (wire.LSN, map[uint32]*table, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots[name] != nil {
		return 0, nil, wire.Errorf(wire.CodeDuplicateObject, "replication slot %q already exists", name)
	}
	s := &slot{confirmed: p.end, temporary: temporary}
	if temporary {
		s.owner = pid
	}
	p.slots[name] = s
	if !snapshot {
		return p.end, nil, nil
	}
	tables := map[uint32]*table{}
	for oid, t := range p.tables {
		tables[oid] = t.clone()
	}
	return p.end, tables, nil
}

// acquire makes pid the slot's user and returns where to begin.
func (p *Publisher) acquire(name string, pid uint32, start wire.LSN) (wire.LSN, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[name]
	if s == nil {
		return 0, wire.Errorf(wire.CodeUndefinedObject, "replication slot %q does not exist", name)
	}
	if s.owner != 0 && s.owner != pid {
		return 0, wire.Errorf(wire.CodeObjectInUse, "replication slot %q is active for PID %d", name, s.owner)
	}
	s.owner = pid
	return max(start, s.confirmed), nil
}

// confirm moves a slot forward.
func (p *Publisher) confirm(name string, lsn wire.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slots[name]; s != nil && lsn > s.confirmed {
		s.confirmed = min(lsn, p.end)
		p.trim()
	}
}

// release ends a connection's use of a slot.
func (p *Publisher) release(name string, pid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slots[name]; s != nil && s.owner == pid && !s.temporary {
		s.owner = 0
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// dropSlot drops a slot. With wait it waits until nobody uses it.
func (p *Publisher) dropSlot(ctx context.Context, name string, pid uint32, wait bool) error {
	for {
		p.mu.Lock()
		s, changed := p.slots[name], p.changed
		if s != nil && (s.owner == 0 || s.owner == pid) {
			delete(p.slots, name)
			p.trim()
			p.mu.Unlock()
			return nil
		}
		owner := uint32(0)
		if s != nil {
			owner = s.owner
		}
		p.mu.Unlock()
		switch {
		case s == nil:
			return wire.Errorf(wire.CodeUndefinedObject, "replication slot %q does not exist", name)
		case !wait:
			return wire.Errorf(wire.CodeObjectInUse, "replication slot %q is active for PID %d", name, owner)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// leave drops the temporary slots of a connection that ends.
func (p *Publisher) leave(pid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, s := range p.slots {
		if s.temporary && s.owner == pid {
			delete(p.slots, name)
		}
	}
	p.trim()
}

// SlotConfirmed returns what a slot's subscriber has confirmed, and whether there is such a
// slot.
func (p *Publisher) SlotConfirmed(name string) (wire.LSN, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[name]
	if s == nil {
		return 0, false
	}
	return s.confirmed, true
}
