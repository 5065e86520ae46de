package proxy

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A Mirroring has the transactions of one database's clients repeated on another database.
// Nobody waits for that: what the clients see is as it is without.
//
// # Notes
//
// A transaction is repeated once it has ended, with the pauses that its client made, on a session
// of the same user that has the client's parameters and prepared statements. One client's
// transactions are repeated in their order. Those that do not fit into the queue, that are very
// long, or that their client did not end, are not repeated.
type Mirroring struct {
	Source, Destination string
	// Queue is how many transactions of a client may wait. Default: 128.
	Queue int
	// Exposure is the part of the transactions that is repeated, from 0 to 1.
	Exposure float64
	// Level says which of them are.
	Level MirrorLevel
}

// A MirrorLevel says which transactions are mirrored.
type MirrorLevel uint8

// The levels.
const (
	MirrorAll MirrorLevel = iota
	MirrorDDL             // those with a statement that changes the schema
	MirrorDML             // those without
)

// A MirrorInfo is the figures of a Mirroring.
type MirrorInfo struct {
	Source, Destination string
	// Total counts transactions of the wanted level. Mirrored were repeated, Dropped were not: by
	// the exposure, because of the queue or their length. Failed had an error at the destination
	// only.
	Total, Mirrored, Dropped, Failed int64
	Queue                            int // transactions that wait
}

// maxTaped bounds the messages of a transaction that is kept to be repeated, maxMirrored those of
// all that wait, in bytes.
const (
	maxTaped    = 1 << 20
	maxMirrored = 64 << 20
)

// mirrors are a proxy's.
type mirrors struct {
	bytes atomic.Int64 // of what waits
	last  atomic.Uint32

	mu   sync.Mutex
	list []*mirror
}

// A mirror is one Mirroring with its figures.
type mirror struct {
	Mirroring
	total, mirrored, dropped, failed, waiting atomic.Int64
}

// Mirror has databases mirrored from now on as the list says, and no others. What it said before
// of the same databases goes on counting.
func (p *Proxy) Mirror(list []Mirroring) {
	m := &p.mirrors
	m.mu.Lock()
	var next []*mirror
	for _, c := range list {
		n := &mirror{Mirroring: c}
		n.Queue = cmp.Or(max(c.Queue, 0), 128)
		if i := slices.IndexFunc(m.list, func(o *mirror) bool { return o.Source == c.Source && o.Destination == c.Destination }); i >= 0 {
			if m.list[i].Mirroring == n.Mirroring {
				n = m.list[i]
			} else {
				n.total.Store(m.list[i].total.Load())
				n.mirrored.Store(m.list[i].mirrored.Load())
				n.dropped.Store(m.list[i].dropped.Load())
				n.failed.Store(m.list[i].failed.Load())
			}
		}
		next = append(next, n)
	}
	same := slices.Equal(m.list, next)
	m.list = next
	m.mu.Unlock()
	if same {
		return
	}
	for _, s := range p.all(nil) {
		s.mu.Lock()
		s.retape()
		s.mu.Unlock()
	}
}

// Mirrors returns the figures of what is mirrored.
func (p *Proxy) Mirrors() []MirrorInfo {
	p.mirrors.mu.Lock()
	defer p.mirrors.mu.Unlock()
	out := make([]MirrorInfo, len(p.mirrors.list))
	for i, m := range p.mirrors.list {
		out[i] = MirrorInfo{
			Source: m.Source, Destination: m.Destination, Total: m.total.Load(), Mirrored: m.mirrored.Load(),
			Dropped: m.dropped.Load(), Failed: m.failed.Load(), Queue: int(m.waiting.Load()),
		}
	}
	return out
}

// of returns the mirrors of a database.
func (m *mirrors) of(database string) (out []*mirror) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.list {
		if x.Source == database {
			out = append(out, x)
		}
	}
	return out
}

// wants reports whether a transaction is to be repeated, and counts it.
func (m *mirror) wants(t *taped) bool {
	if m.Level == MirrorDDL && !t.ddl || m.Level == MirrorDML && t.ddl {
		return false
	}
	m.total.Add(1)
	if t.lost || m.Exposure < 1 && rand.Float64() >= m.Exposure {
		m.dropped.Add(1)
		return false
	}
	return true
}

// changesSchemaSQL says by its words whether a text has a statement that changes the schema.
func changesSchemaSQL(sql string) bool {
	parts, err := route.Split(sql)
	if err != nil {
		return false
	}
	for _, p := range parts {
		var s lex.Scanner
		if s.Scan(sql[p.From:p.To]) != nil || len(s.Tokens) == 0 {
			continue
		}
		switch lex.Fold(s.Tokens[0].Text(sql[p.From:p.To])) {
		case "create", "alter", "drop", "truncate", "comment", "grant", "revoke", "reindex", "refresh", "security", "import":
			return true
		}
	}
	return false
}
