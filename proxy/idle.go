package proxy

import (
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// Most clients are idle most of the time, and there may be very many: what each of them keeps
// counts.

// scanners are for sessions that have something to scan.
type scanners struct{ sync.Pool }

// scan says what a text does.
func (p *scanners) scan(sql string) effect.Text {
	if effect.Plain(sql) {
		return effect.Text{Statements: 1}
	}
	s, ok := p.Get().(*effect.Scanner)
	if !ok {
		s = &effect.Scanner{}
	}
	defer p.Put(s)
	return s.Scan(sql)
}

// control says what a text does to the transaction, if it does nothing else.
func (p *scanners) control(sql string) (effect.Control, bool) {
	s, ok := p.Get().(*effect.Scanner)
	if !ok {
		s = &effect.Scanner{}
	}
	defer p.Put(s)
	return s.ControlOf(sql)
}

// opens says that a text leaves a transaction open.
func (p *scanners) opens(sql string) bool {
	s, ok := p.Get().(*effect.Scanner)
	if !ok {
		s = &effect.Scanner{}
	}
	defer p.Put(s)
	return s.Opens(sql)
}

// maxShared bounds how many kinds of clients are remembered.
const maxShared = 1000

// idleness keeps what idle clients can share, and gives memory back.
type idleness struct {
	mu    sync.Mutex
	known map[string]*who

	// Of the watcher.
	logins, seen int64 // when memory was given back; when it last looked
	changed      time.Time
}

// A who is a client but for its address: many are the same.
type who struct {
	User, Database string
	Identity       pgserver.Identity
	Params         []wire.Param
}

// share returns what is known of a client, the same for all who differ by their address only.
func (i *idleness) share(c Client) *who {
	w := &who{c.User, c.Database, c.Identity, slices.Clip(c.Params)}
	var b strings.Builder
	add := func(texts ...string) {
		for _, t := range texts {
			b.WriteString(t)
			b.WriteByte(0)
		}
	}
	add(c.User, c.Database, c.Identity.User, c.Identity.System, c.Identity.Method)
	for _, p := range c.Params {
		add(p.Name, p.Value)
	}
	if b.Len() > 1<<10 {
		return w // nobody else has such ones
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if known := i.known[b.String()]; known != nil {
		return known
	}
	if i.known == nil || len(i.known) >= maxShared {
		i.known = map[string]*who{}
	}
	i.known[b.String()] = w
	return w
}

// known is the client with its address.
func (s *session) known() Client {
	w := s.client
	return Client{User: w.User, Database: w.Database, Addr: s.nc.RemoteAddr(), Identity: w.Identity, Params: w.Params}
}

// idleFor is how long a session is idle before what it has for its next request goes;
// restAfter is how long nobody may have come before memory goes back to the system after many
// have, and burst how many are many.
const (
	idleFor   = 2 * time.Second
	restAfter = 3 * time.Second
	burst     = 200
)

// rest gives back the memory that many clients needed to log in, once no more come.
func (i *idleness) rest(logins int64, now time.Time) {
	if logins != i.seen {
		i.seen, i.changed = logins, now
		return
	}
	if logins-i.logins < burst || now.Sub(i.changed) < restAfter {
		return
	}
	i.logins = logins
	debug.FreeOSMemory()
}

// trim takes from an idle session what it can have again.
func (s *session) trim(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy != nil || now.Sub(s.p.time(s.answered)) < idleFor {
		return
	}
	if s.unnamedID() == 0 {
		s.unnamed = nil
	}
	if len(s.names) == 0 {
		s.names = nil
	}
}
