package proxy

import (
	"cmp"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/socket"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A SessionInfo is what is known of one client.
type SessionInfo struct {
	ID     uint32
	Client Client
	// State is idle, active, waiting (for a server connection) or idle in transaction.
	State       string
	Since, Last time.Time // when it connected; when it was last answered
	TLS         bool
	TLSVersion  string   // of a client with TLS
	Local       net.Addr // the proxy's end
	Physical    bool     // a replicating client wants that kind
	Replication bool
	Pinned      string // why it keeps its server connection
	Statements  int    // prepared ones

	Queries, Transactions, Errors int64
	Received, Sent                int64 // bytes
	Waited, Querying              time.Duration
	Transacting                   time.Duration // of transactions that have ended
	// Query is the beginning of what it asked for last; Asked is when, if it waits for the
	// answer.
	Query string
	Asked time.Time
	// Server is the server connection that it has, to be compared only; nil: none.
	Server *pool.Conn
	// TwoPhased are transactions committed in two phases. Memory is about what the proxy keeps for
	// the client, in bytes, without what is on its way.
	TwoPhased, Memory int64
	FD                int // the descriptor of its connection; -1: there is none
}

// nameSize is about what one prepared statement of a client's takes beside the shared one, in bytes.
const nameSize = 64

// memory is about what the session takes. The lock is held.
func (s *session) memory() int64 {
	n := int64(unsafe.Sizeof(*s)) + int64(s.doing.c) + int64(len(s.names))*nameSize
	if b := s.busy; b != nil {
		n += int64(unsafe.Sizeof(*b)) + int64(cap(b.queue.items))*int64(unsafe.Sizeof(request{}))
	}
	if s.own != nil {
		n += int64(unsafe.Sizeof(*s.own))
	}
	return n
}

// maxSample is how much of a query is kept to be shown.
const maxSample = 256

// sample keeps the beginning of what is asked for. It is called with the lock held.
func (s *session) sample(sql string) {
	if s.p.cfg.Queries != nil {
		s.p.cfg.Queries(s.known(), sql)
	}
	s.doing.set(sql)
}

// A sample is a copy of the beginning of a text, whose memory is used for the next one.
type sample struct {
	text *byte
	n, c uint16 // bytes that it has, and that there is room for
	// errors is how many the client was told of. It has nothing to do with the text, but there is room
	// for it, and there may be very many sessions.
	errors atomic.Uint32
}

func (s *sample) set(text string) {
	if len(text) > maxSample {
		text = strings.ToValidUTF8(text[:maxSample], "")
	}
	if len(text) > int(s.c) {
		b := append([]byte(nil), text...)
		s.text, s.n, s.c = unsafe.SliceData(b), uint16(len(b)), uint16(cap(b))
		return
	}
	s.n = uint16(copy(unsafe.Slice(s.text, s.c), text))
}

// String returns the text.
func (s *sample) String() string { return string(unsafe.Slice(s.text, s.n)) }

// sql returns a statement's text.
func (s *statement) sql() string {
	sql, _, _ := strings.Cut(s.key, "\x00")
	return sql
}

// Sessions lists the clients there are now, in the order of their ids.
func (p *Proxy) Sessions() []SessionInfo {
	all := p.all(nil)
	out := make([]SessionInfo, 0, len(all))
	for _, s := range all {
		out = append(out, s.info())
	}
	slices.SortFunc(out, func(a, b SessionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (s *session) info() SessionInfo {
	i := SessionInfo{
		ID: s.id, Client: s.known(), Since: s.p.time(s.since), Replication: s.replication() != "",
		Queries: s.stats.queries.Load(), Transactions: s.stats.transactions.Load(), Errors: int64(s.doing.errors.Load()),
		Received: s.stats.received.Load(), Sent: s.stats.sent.Load(),
		Waited: time.Duration(s.stats.wait.Load()), Querying: time.Duration(s.stats.queryTime.Load()),
		Transacting: time.Duration(s.stats.xactTime.Load()),
	}
	i.Local, i.FD = s.nc.LocalAddr(), socket.Descriptor(s.nc)
	i.Physical = i.Replication && s.replication() != "database"
	if c, ok := s.nc.(*tls.Conn); ok {
		st := c.ConnectionState()
		i.TLS, i.TLSVersion = true, tls.VersionName(st.Version)+"/"+tls.CipherSuiteName(st.CipherSuite)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Memory = s.memory()
	if x := s.shards(); x != nil {
		i.TwoPhased = x.TwoPhased()
	}
	i.Last, i.Query, i.Statements = s.p.time(s.answered), s.doing.String(), len(s.names)
	if s.busy == nil {
		i.State = "idle"
		return i
	}
	i.Pinned = s.pinned
	switch c := s.server; {
	case s.waiting != nil:
		i.State, i.Asked = "waiting", s.asked
	case s.held != nil:
		i.State = "idle in transaction"
	case c == nil && (s.own == nil || !s.own.holds):
		i.State = "idle"
	case c == nil, s.queue.len() > 0 || s.delivering:
		i.State, i.Asked = "active", s.asked
	case c.Status != wire.TxIdle:
		i.State = "idle in transaction"
	default:
		i.State = "idle"
	}
	i.Server = s.server
	return i
}

// Kick ends the sessions that which returns true for, telling their clients why, and returns
// how many there were. Their transactions are rolled back.
func (p *Proxy) Kick(which func(id uint32, c Client) bool) int {
	n := 0
	for _, s := range p.all(nil) {
		if which(s.id, s.known()) {
			n++
			s.kill(errShutdown)
		}
	}
	return n
}

// StatementInfo is a prepared statement that clients share.
type StatementInfo struct {
	Name, SQL string
	Users     int
	Memory    int64 // bytes, about
}

// Statements lists the prepared statements that clients share, those that nobody uses now
// included.
func (p *Proxy) Statements() []StatementInfo {
	var out []StatementInfo
	p.statements.each(func(s *statement) {
		out = append(out, StatementInfo{Name: s.name, SQL: s.sql(), Users: s.refs, Memory: s.memory()})
	})
	slices.SortFunc(out, func(a, b StatementInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// ForgetStatements drops the prepared statements that no client uses, and returns how many
// there were. Server connections lose theirs as their limit demands.
func (p *Proxy) ForgetStatements() int { return p.statements.forget() }
