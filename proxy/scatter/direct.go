package scatter

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A directRequest is one that one shard answers by itself while the session is at rest: a query, or
// one execution by the extended protocol up to its Sync. Who has the client's bytes and a
// connection to the shard at hand carries it out without a goroutine: [Session.Direct],
// [Session.Begin], [Session.Answers]. All else is for Handle. What is allocated for it stays for
// the next one.
type directRequest struct {
	q       request
	binding route.Binding
	// Memory of what q has.
	values           [][]byte
	formats, results []wire.Format

	// Of the request; they are parts of what the client has sent.
	raw   []byte
	parse []byte // the rest of a Parse of the unnamed statement, nil if there is none
	bind  []byte // the whole Bind
	args  []byte // what comes behind the names in it
	rest  []byte // what comes behind the Bind

	shard     int
	oids      *oids
	sql       string // in place of the client's text
	rewritten bool
	turn      bool // any shard could answer it

	// Of the answer.
	statements *Statements
	preparing  string // what is prepared for the Bind, on the connection
	hides      bool   // its answer is to come, and not for the client
	drops      bool   // the same for that of a Close
	wrote      bool
	left       int // bytes to come of a row that is being passed on
}

// A Need says what a direct request needs.
type Need struct {
	Shard    int
	Role     route.Role
	Settings *Settings
}

// maxDirect is how long a direct request is at most, in bytes: the others may take a while to come.
const maxDirect = 16 << 10

// Resting reports that the session holds nothing that the next request must find, so that this may
// be carried out by Direct.
func (s *Session) Resting() bool {
	return s.tx.none() && !s.tx.failed && !s.pinned && !s.skip && s.copying == nil && s.mail == nil && len(s.queue) == 0 && len(s.rest) == 0 &&
		len(s.portals) == 0 && len(s.cursors) == 0 && len(s.told) == 0 && !s.found.private && !s.lookingUp && s.Idle()
}

// A Verdict says whose a request is.
type Verdict uint8

// The verdicts.
const (
	// Indirect requests are for Handle.
	Indirect Verdict = iota
	// Unfinished ones have not come whole, and may be either.
	Unfinished
	// Direct ones are for Begin.
	Direct
)

// Direct looks at what a client has sent while the session is at rest. n is how long the request is
// at the beginning of it. The session is at rest when it returns. b must not change before Begin.
func (s *Session) Direct(b []byte) (need Need, n int, v Verdict) {
	d := &s.direct
	if n, v = d.read(b); v != Direct {
		return need, 0, v
	}
	clear(s.found.own) // another session may have changed it
	if !s.understood(d) || !s.ex.cfg.Router.Known(&s.decision, d.q.sql, &s.state, s.bindingOf(d)) {
		return need, 0, Indirect
	}
	dec := &s.decision
	if s.refusals(dec, nil) != nil || dec.Plan.Write && s.ex.lookups.reads(d.q.sql) {
		return need, 0, Indirect
	}
	d.turn = false
	s.spreadBy(dec, func() uint64 {
		d.turn = true // Begin counts it
		return s.ex.next.Load() + 1
	})
	s.readOwn(dec)
	d.shard, _ = s.own(dec)
	d.oids = s.ex.oidsOf(d.shard)
	d.sql, _, d.rewritten = textFor(dec, &d.q, d.shard)
	if d.q.extended && (d.rewritten || !s.sameTypes(d)) {
		return need, 0, Indirect
	}
	return Need{Shard: d.shard, Role: dec.Role, Settings: s.settings}, n, Direct
}

// read cuts the request off b.
func (d *directRequest) read(b []byte) (n int, v Verdict) {
	d.q = request{}
	d.parse, d.bind = nil, nil
	m, v := message(b)
	if v != Direct {
		return 0, v
	}
	if wire.Type(m[0]) == wire.TypeQuery {
		var ok bool
		d.q.sql, ok = passing(m[wire.HeaderLen:])
		d.raw = m
		return len(m), verdict(ok)
	}
	d.q.extended = true
	for at, next := 0, wire.TypeParse; ; at += len(m) {
		if m, v = message(b[at:]); v != Direct {
			return 0, v
		}
		if at+len(m) > maxDirect {
			return 0, Indirect
		}
		typ, body := wire.Type(m[0]), m[wire.HeaderLen:]
		switch {
		case typ == wire.TypeParse && next == wire.TypeParse:
			if len(body) < 2 || body[0] != 0 {
				return 0, Indirect // it has a name
			}
			d.parse, next = body[1:], wire.TypeBind
		case typ == wire.TypeBind && (next == wire.TypeParse || next == wire.TypeBind):
			d.bind, next = m, wire.TypeDescribe
			d.rest = b[at+len(m):]
		case typ == wire.TypeDescribe && next == wire.TypeDescribe:
			if !bytes.Equal(body, []byte{byte(wire.PortalKind), 0}) {
				return 0, Indirect
			}
			next = wire.TypeExecute
		case typ == wire.TypeExecute && (next == wire.TypeDescribe || next == wire.TypeExecute):
			if !bytes.Equal(body, []byte{0, 0, 0, 0, 0}) {
				return 0, Indirect // of a portal with a name, or not all rows
			}
			next = wire.TypeSync
		case typ == wire.TypeSync && next == wire.TypeSync && len(body) == 0:
			n = at + len(m)
			d.raw = b[:n]
			d.rest = d.rest[:n-(len(b)-len(d.rest))]
			return n, Direct
		default:
			return 0, Indirect
		}
	}
}

func verdict(ok bool) Verdict {
	if ok {
		return Direct
	}
	return Indirect
}

// message cuts a message off b, if it may be a part of a direct request.
func message(b []byte) ([]byte, Verdict) {
	if len(b) < wire.HeaderLen {
		if len(b) > 0 && !starts(wire.Type(b[0])) {
			return nil, Indirect
		}
		return nil, Unfinished
	}
	n := 1 + int(binary.BigEndian.Uint32(b[1:]))
	switch {
	case !starts(wire.Type(b[0])), n < wire.HeaderLen, n > maxDirect:
		return nil, Indirect
	case n > len(b):
		return nil, Unfinished
	}
	return b[:n:n], Direct
}

func starts(typ wire.Type) bool {
	switch typ {
	case wire.TypeQuery, wire.TypeParse, wire.TypeBind, wire.TypeDescribe, wire.TypeExecute, wire.TypeSync:
		return true
	}
	return false
}

// passing is the one string of a body, which is there as long as that is.
func passing(body []byte) (string, bool) {
	n := len(body) - 1
	if n < 0 || bytes.IndexByte(body, 0) != n {
		return "", false
	}
	return unsafe.String(unsafe.SliceData(body), n), true
}

// understood reads the parts of an extended request.
func (s *Session) understood(d *directRequest) bool {
	d.values = d.values[:0]
	d.q.values = d.values
	if !d.q.extended {
		return true
	}
	body := d.bind[wire.HeaderLen:]
	if len(body) == 0 || body[0] != 0 {
		return false // a portal with a name
	}
	end := bytes.IndexByte(body[1:], 0)
	if end < 0 {
		return false
	}
	name := body[1 : 1+end]
	d.args = body[1+end+1:]
	if d.parse != nil {
		if len(name) > 0 || !s.parsing(d) {
			return false
		}
	} else if d.q.st = s.statements[string(name)]; d.q.st == nil {
		return false
	}
	if st := d.q.st; st != nil {
		d.q.sql, d.q.types = st.sql, st.types
	}
	return d.arguments() && (len(d.q.values) == 0 || !anyBinary(d.q.formats) || s.knowsTypes(d))
}

// parsing reads the Parse. The statement that there is stays if it is the same.
func (s *Session) parsing(d *directRequest) bool {
	end := bytes.IndexByte(d.parse, 0)
	if end < 0 {
		return false
	}
	sql, _ := passing(d.parse[:end+1])
	b := d.parse[end+1:]
	if len(b) < 2 || len(b) != 2+4*int(binary.BigEndian.Uint16(b)) {
		return false
	}
	b = b[2:]
	if st := s.statements[""]; st != nil && st.sql == sql && len(st.types) == len(b)/4 {
		same := true
		for i, t := range st.types {
			same = same && t == binary.BigEndian.Uint32(b[4*i:])
		}
		if same {
			d.q.st = st
			return true
		}
	}
	d.q.sql = sql
	for ; len(b) > 0; b = b[4:] {
		d.q.types = append(d.q.types, binary.BigEndian.Uint32(b))
	}
	return true
}

// arguments reads what a Bind says of the parameters and the result.
func (d *directRequest) arguments() bool {
	b := d.args
	list := func() (n int, ok bool) {
		if len(b) < 2 {
			return 0, false
		}
		n = int(binary.BigEndian.Uint16(b))
		b = b[2:]
		return n, true
	}
	formats := func(dst []wire.Format) ([]wire.Format, bool) {
		n, ok := list()
		if !ok || len(b) < 2*n {
			return nil, false
		}
		for ; n > 0; n-- {
			f := wire.Format(binary.BigEndian.Uint16(b))
			if f != wire.Text && f != wire.Binary {
				return nil, false
			}
			dst, b = append(dst, f), b[2:]
		}
		return dst, true
	}
	var ok bool
	if d.q.formats, ok = formats(d.formats[:0]); !ok {
		return false
	}
	d.formats = d.q.formats
	n, ok := list()
	if !ok || len(d.q.formats) > 1 && len(d.q.formats) != n {
		return false
	}
	for ; n > 0; n-- {
		if len(b) < 4 {
			return false
		}
		size := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if size == -1 {
			d.values = append(d.values, nil)
			continue
		}
		if size < 0 || int(size) > len(b) {
			return false
		}
		d.values, b = append(d.values, b[:size:size]), b[size:]
	}
	if d.q.values = d.values; d.q.values == nil {
		d.q.values = [][]byte{}
	}
	if d.q.results, ok = formats(d.results[:0]); !ok {
		return false
	}
	d.results = d.q.results
	return len(b) == 0
}

// knowsTypes reports that values in binary can be read.
func (s *Session) knowsTypes(d *directRequest) bool {
	if st := d.q.st; st != nil && st.params != nil && st.generation != s.ex.generation.Load() {
		return false
	}
	return typed(&d.q)
}

// bindingOf is what the router knows of the parameters.
func (s *Session) bindingOf(d *directRequest) *route.Binding {
	b := &d.binding
	*b = route.Binding{UniqueID: s.ex.cfg.UniqueID, Lookups: &s.found, Values: d.q.values, Types: b.Types[:0], Formats: b.Formats[:0]}
	if b.Values == nil {
		b.Values = [][]byte{}
	}
	if len(d.q.values) == 0 {
		return b
	}
	types := d.q.types
	if d.q.st != nil && d.q.st.params != nil {
		types = d.q.st.params
	}
	for _, t := range types {
		b.Types = append(b.Types, hash.OID(t))
	}
	for _, f := range d.q.formats {
		b.Formats = append(b.Formats, int16(f))
	}
	return b
}

// sameTypes reports that nothing in the request, nor in the rows of its answer, has numbers of types
// that are others on the shard.
func (s *Session) sameTypes(d *directRequest) bool {
	o := d.oids
	if o == nil {
		return true
	}
	if slices.ContainsFunc(d.q.types, func(t uint32) bool { return o.serverOf(t) != t }) {
		return false
	}
	st := d.q.st
	if anyBinary(d.q.results) {
		if st == nil || !st.described || st.generation != s.ex.generation.Load() ||
			o.shapeOf(st.fields, func(i int) wire.Format { return wire.FormatAt(d.q.results, i) }) != nil {
			return false
		}
	}
	if !anyBinary(d.q.formats) {
		return true
	}
	types := d.q.types
	if st != nil && st.params != nil {
		types = st.params
	}
	t := translation{o.clients, o.toServer}
	return !slices.ContainsFunc(types, t.deep)
}
