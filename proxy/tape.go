package proxy

import (
	"bytes"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A tape has what a client says in its transaction, to be repeated. The session's lock guards it.
type tape struct {
	lanes []*lane
	want  setting.Set // the client's parameters when its transaction began
	known bool        // want is that
	// partial says that the beginning of the transaction is missing.
	partial  bool
	answered int // ReadyForQuery since the transaction began
	failed   bool
	last     time.Time
	steps    []step
	bytes    int
	lost     bool // the transaction is too long to be kept
	// names are the prepared statements of a client of several shards; others have them in the
	// session.
	names map[string]string
}

// A step is a message of a client's, or a part of one.
type step struct {
	after time.Duration // since the one before
	msg   []byte
	ready bool // the answer ends in ReadyForQuery
	copy  bool // it is of COPY, so that the answer to what began that comes later
	ddl   bool
	// name is the prepared statement that the message needs, and key the rest of its Parse. makes
	// says that the message is that Parse.
	name, key string
	makes     bool
	closes    string // the prepared statement that the message takes away
	forgets   bool   // prepared statements may be gone after it
}

// A taped is a transaction to be repeated. It is not changed any more.
type taped struct {
	want   setting.Set
	known  bool
	steps  []step
	bytes  int
	ddl    bool
	failed bool // it had an error for its client, too
	lost   bool
}

// retape begins to keep what the client says, or ends that, as the mirrors demand. The lock is
// held.
func (s *session) retape() {
	var old *tape
	if s.busy != nil {
		old, s.tape = s.tape, nil
	}
	if s.over || s.db == nil || s.replication() != "" {
		old.end()
		return
	}
	list := s.p.mirrors.of(s.client.Database)
	if len(list) == 0 {
		old.end()
		return
	}
	s.wakeUp()
	t := &tape{want: s.want, known: s.db.Sharded == nil, partial: s.own != nil && s.own.holds || s.queue.len() > 0 || s.unsynced || s.server != nil && s.server.Status != wire.TxIdle}
	if !t.known {
		t.names = map[string]string{}
	}
	for _, m := range list {
		t.lanes = append(t.lanes, &lane{p: s.p, m: m, client: s.known()})
	}
	s.tape = t
	old.end()
}

// end lets the lanes end when they have repeated what they have.
func (t *tape) end() {
	if t == nil {
		return
	}
	for _, l := range t.lanes {
		l.close()
	}
}

// keep notes a message, or a part of one.
func (t *tape) keep(st step, b []byte) {
	now := time.Now()
	if len(t.steps) > 0 {
		st.after = now.Sub(t.last)
	}
	t.last = now
	if t.bytes += len(b) + 64; t.bytes > maxTaped {
		t.lost = true
	}
	if !t.lost {
		st.msg = bytes.Clone(b)
	} else if t.bytes > 2*maxTaped {
		// Only how many answers are due still counts.
		t.bytes = maxTaped + 1
		kept := t.steps[:0]
		for _, x := range t.steps {
			if x.ready {
				kept = append(kept, step{ready: true, ddl: x.ddl})
			}
		}
		clear(t.steps[len(kept):])
		t.steps = kept
	}
	t.steps = append(t.steps, st)
}

// keep notes a whole message of the client's, which has been dealt with.
func (s *session) keep(typ wire.Type, m []byte) {
	t := s.tape
	st := step{}
	body := m[wire.HeaderLen:]
	switch typ {
	case wire.TypeQuery:
		st.ready = true
		if sql, ok := text(body); ok {
			st.ddl, st.forgets = changesSchemaSQL(sql), forgets(sql)
		}
	case wire.TypeSync:
		st.ready = s.copying != wire.TypeCopyInResponse
	case wire.TypeParse:
		name, rest, _ := cut(body)
		st.makes, st.name, st.key = true, string(name), string(rest)
		if sql, ok := textOfParse(body); ok {
			st.ddl, st.forgets = changesSchemaSQL(sql), forgets(sql)
		}
		if t.names != nil && len(name) > 0 && len(t.names) < maxNames {
			t.names[st.name] = st.key
		}
	case wire.TypeBind:
		_, rest, _ := cut(body)
		name, _, _ := cut(rest)
		s.needs(&st, string(name))
	case wire.TypeDescribe:
		if len(body) > 1 && wire.Kind(body[0]) == wire.StatementKind {
			s.needs(&st, string(body[1:len(body)-1]))
		}
	case wire.TypeClose:
		if len(body) > 1 && wire.Kind(body[0]) == wire.StatementKind {
			st.closes = string(body[1 : len(body)-1])
		}
	case wire.TypeCopyDone, wire.TypeCopyFail:
		st.copy = true
	case wire.TypeCopyData: // of a client of several shards
		st.copy = true
	case wire.TypeTerminate:
		return
	}
	t.keep(st, m)
}

// needs notes the prepared statement that a step needs.
func (s *session) needs(st *step, name string) {
	if name == "" {
		return
	}
	if s.tape.names != nil {
		st.key = s.tape.names[name]
	} else if x := s.names[name]; x != nil && !x.ofSQL() {
		st.key = x.key
	}
	if st.key != "" {
		st.name = name
		st.ddl = changesSchemaSQL(before(st.key))
	}
}

func before(key string) string {
	sql, _, _ := strings.Cut(key, "\x00")
	return sql
}

// forgets says that a text may take prepared statements away.
func forgets(sql string) bool {
	for i := 0; i+7 <= len(sql); i++ {
		if c := sql[i] | 0x20; c == 'd' && (strings.EqualFold(sql[i:i+7], "discard") || len(sql) >= i+10 && strings.EqualFold(sql[i:i+10], "deallocate")) {
			return true
		}
	}
	return false
}

// tapeReady notes a ReadyForQuery: the transaction has ended when it says so. The session's lock is
// held.
func (s *session) tapeReady(status wire.TxStatus, failed bool) {
	t := s.tape
	t.answered++
	t.failed = t.failed || failed
	if status != wire.TxIdle {
		return
	}
	n := len(t.steps)
	s.ends()
	if s.queue.len() > 0 { // the next one has begun
		n = 0
		for due := t.answered; n < len(t.steps) && due > 0; n++ {
			if t.steps[n].ready {
				due--
			}
		}
	}
	x := &taped{want: t.want, known: t.known, steps: t.steps[:n:n], failed: t.failed, lost: t.lost}
	for i := range x.steps {
		x.bytes += len(x.steps[i].msg)
		x.ddl = x.ddl || x.steps[i].ddl
	}
	rest := append([]step(nil), t.steps[n:]...)
	partial := t.partial
	t.forget()
	t.steps, t.want = rest, s.want
	for i := range rest {
		t.bytes += len(rest[i].msg) + 64
	}
	if partial || len(x.steps) == 0 {
		return
	}
	for _, l := range t.lanes {
		l.offer(x)
	}
}

// forget drops what is kept of the transaction.
func (t *tape) forget() {
	t.steps, t.bytes, t.answered, t.failed, t.lost, t.partial = nil, 0, 0, false, false, false
}
