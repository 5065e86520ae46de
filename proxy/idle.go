package proxy

import (
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Most clients are idle most of the time, and there may be very many: what each of them keeps
// counts.

// scanners are for sessions that have something to scan.
type scanners struct{ sync.Pool }

func (p *scanners) get() *effect.Scanner {
	if s, ok := p.Get().(*effect.Scanner); ok {
		return s
	}
	return &effect.Scanner{}
}

func (p *scanners) put(s *effect.Scanner) { p.Put(s) }

// maxShared bounds how many lists of startup parameters are remembered.
const maxShared = 1000

// idleness keeps what idle clients can share, and gives memory back.
type idleness struct {
	mu     sync.Mutex
	params map[string][]wire.Param

	// Of the watcher.
	logins, seen int64 // when memory was given back; when it last looked
	changed      time.Time
}

// share returns a list that is equal to the one given, and the same for all that are equal.
func (i *idleness) share(params []wire.Param) []wire.Param {
	var b strings.Builder
	for _, p := range params {
		b.WriteString(p.Name)
		b.WriteByte(0)
		b.WriteString(p.Value)
		b.WriteByte(0)
	}
	if b.Len() > 1<<10 {
		return params // nobody else has such ones
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if known, ok := i.params[b.String()]; ok {
		return known
	}
	if i.params == nil || len(i.params) >= maxShared {
		i.params = map[string][]wire.Param{}
	}
	params = slices.Clip(params)
	i.params[b.String()] = params
	return params
}

// thrifty has the client's names be those in its parameters, which are shared.
func (c *Client) thrifty() {
	for _, p := range c.Params {
		for _, name := range []*string{&c.User, &c.Database, &c.Identity.User, &c.Identity.System} {
			if *name == p.Value {
				*name = p.Value
			}
		}
	}
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
	if s.server != nil || s.waiting != nil || s.stalled != flowing || s.queue.len() > 0 || s.delivering || now.Sub(s.answered) < idleFor {
		return
	}
	s.queue = queue{}
	if len(s.out) == 0 {
		s.out = nil
	}
	if len(s.portals) == 0 {
		s.portals = nil
	}
	if s.unnamed == 0 {
		s.unnamedMsg = nil
	}
	if len(s.pending) == 0 {
		s.pending = nil
	}
}
