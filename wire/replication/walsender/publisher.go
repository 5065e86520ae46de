package walsender

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// A Publisher has tables in memory whose contents and changes others subscribe to. It keeps
// transactions until every slot has confirmed them; nothing survives the process. It is
// safe for concurrent use.
type Publisher struct {
	systemID string

	mu      sync.Mutex
	tables  map[uint32]*table
	pubs    map[string][]uint32 // tables by publication
	slots   map[string]*slot
	log     []*Transaction
	end     wire.LSN
	xid     uint32
	oid     uint32
	changed chan struct{} // closed and made anew when the log grows
}

// A slot remembers what one subscriber has confirmed.
type slot struct {
	confirmed wire.LSN
	temporary bool
	owner     uint32 // PID of the connection that uses it; 0 is none
}

// NewPublisher returns a publisher without tables. systemID is what IDENTIFY_SYSTEM says:
// a number that is the publisher's own.
func NewPublisher(systemID uint64) *Publisher {
	return &Publisher{
		systemID: fmt.Sprint(systemID),
		tables:   map[uint32]*table{},
		pubs:     map[string][]uint32{},
		slots:    map[string]*slot{},
		end:      0x1000000, // a log does not begin at 0, which stands for "nowhere"
		xid:      1000,
		oid:      16384, // FirstNormalObjectId
		changed:  make(chan struct{}),
	}
}

// Publish adds a table to a publication, and makes it if there is none of that name, and
// returns the OID by which changes name the table.
func (p *Publisher) Publish(publication string, t Table) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for oid, have := range p.tables {
		if have.relation.Schema == t.Schema && have.relation.Name == t.Name {
			if !slices.Contains(p.pubs[publication], oid) {
				p.pubs[publication] = append(p.pubs[publication], oid)
			}
			return oid, nil
		}
	}
	tab, err := newTable(t, p.oid)
	if err != nil {
		return 0, err
	}
	p.tables[p.oid] = tab
	p.pubs[publication] = append(p.pubs[publication], p.oid)
	p.oid++
	return p.oid - 1, nil
}

// Commit applies the changes, all or none, and streams them. An Update is of the row that
// has the key of Old or, without Old, of New; values of New that are Unchanged stay. It
// returns the end of the transaction in the log.
func (p *Publisher) Commit(changes ...pgoutput.Message) (wire.LSN, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var undo []func()
	size := 0
	for _, m := range changes {
		back, err := p.apply(m)
		undo = append(undo, back...)
		if err == nil {
			var b []byte
			b, err = pgoutput.Append(nil, m)
			size += len(b)
		}
		if err != nil {
			for _, f := range slices.Backward(undo) {
				f()
			}
			return 0, fmt.Errorf("commit: %w", err)
		}
	}
	p.xid++
	commit := p.end + wire.LSN(size) + 8
	tx := &Transaction{
		XID: p.xid, CommitLSN: commit, EndLSN: commit + 48,
		CommitTime: wire.TimestampOf(time.Now()), Changes: changes,
	}
	p.end = tx.EndLSN
	p.log = append(p.log, tx)
	p.trim()
	close(p.changed)
	p.changed = make(chan struct{})
	return tx.EndLSN, nil
}

// apply applies a change, and returns what takes it back, also what was done of it when
// there is an error. It is called with the mutex held.
func (p *Publisher) apply(m pgoutput.Message) (undo []func(), err error) {
	var tabs []*table
	for _, oid := range relationsOf(m) {
		t := p.tables[oid]
		if t == nil {
			return nil, wire.Errorf(wire.CodeUndefinedTable, "relation with OID %d does not exist", oid)
		}
		tabs = append(tabs, t)
	}
	switch m := m.(type) {
	case *pgoutput.Insert:
		back, err := tabs[0].insert(m.New)
		if err != nil {
			return nil, err
		}
		return []func(){back}, nil
	case *pgoutput.Update:
		where := m.Old
		if where == nil {
			where = m.New
		}
		old, back, err := tabs[0].remove(where)
		if err != nil {
			return nil, err
		}
		undo = append(undo, back)
		row := slices.Clone(m.New)
		for i := range row {
			if row[i].Kind == pgoutput.Unchanged && i < len(old) {
				row[i] = old[i]
			}
		}
		if back, err = tabs[0].insert(row); err != nil {
			return undo, err
		}
		return append(undo, back), nil
	case *pgoutput.Delete:
		_, back, err := tabs[0].remove(m.Old)
		if err != nil {
			return nil, err
		}
		return []func(){back}, nil
	case *pgoutput.Truncate:
		for _, t := range tabs {
			undo = append(undo, t.truncate())
		}
		return undo, nil
	case *pgoutput.LogicalMessage:
		return nil, nil
	}
	return nil, fmt.Errorf("%T is no change", m)
}

// trim forgets what every slot has confirmed. It is called with the mutex held.
func (p *Publisher) trim() {
	keep := p.end
	for _, s := range p.slots {
		keep = min(keep, s.confirmed)
	}
	n, _ := slices.BinarySearchFunc(p.log, keep, func(tx *Transaction, at wire.LSN) int {
		if tx.EndLSN <= at {
			return -1
		}
		return 1
	})
	p.log = slices.Delete(p.log, 0, n)
}

// Position returns the end of the log.
func (p *Publisher) Position() wire.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end
}

// Kept returns the number of transactions that some slot has not confirmed.
func (p *Publisher) Kept() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.log)
}

// transactions is a source for [Stream]: those that end after start, as far as they change
// the given publications' tables.
func (p *Publisher) transactions(start wire.LSN, publications []string) func(context.Context) iter.Seq2[*Transaction, error] {
	return func(ctx context.Context) iter.Seq2[*Transaction, error] {
		return func(yield func(*Transaction, error) bool) {
			at := start
			for {
				tx, changed := p.after(at)
				if tx == nil {
					select {
					case <-ctx.Done():
						return
					case <-changed:
						continue
					}
				}
				at = tx.EndLSN
				if !yield(p.filter(tx, publications), nil) {
					return
				}
			}
		}
	}
}

// after returns the first transaction that ends after at, or what to wait for.
func (p *Publisher) after(at wire.LSN) (*Transaction, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, tx := range p.log {
		if tx.EndLSN > at {
			return tx, nil
		}
	}
	return nil, p.changed
}

func (p *Publisher) filter(tx *Transaction, publications []string) *Transaction {
	p.mu.Lock()
	defer p.mu.Unlock()
	published := func(oid uint32) bool {
		return slices.ContainsFunc(publications, func(name string) bool { return slices.Contains(p.pubs[name], oid) })
	}
	f := *tx
	f.Changes = nil
	for _, m := range tx.Changes {
		oids := relationsOf(m)
		if t, ok := m.(*pgoutput.Truncate); ok {
			c := *t
			c.RelationOIDs = slices.DeleteFunc(slices.Clone(oids), func(oid uint32) bool { return !published(oid) })
			if len(c.RelationOIDs) > 0 {
				f.Changes = append(f.Changes, &c)
			}
			continue
		}
		if len(oids) == 0 || published(oids[0]) {
			f.Changes = append(f.Changes, m)
		}
	}
	return &f
}

func (p *Publisher) relation(oid uint32) (*pgoutput.Relation, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.tables[oid]
	if !ok {
		return nil, false
	}
	r := t.relation
	return &r, true
}
