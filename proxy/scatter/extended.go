package scatter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A statement is a prepared one.
type statement struct {
	name, sql string
	types     []uint32 // as the client declared them
	server    string   // its name on servers; "" for the unnamed one

	described  bool
	generation uint64 // of the executor, when it was described
	params     []uint32
	fields     []wire.Field
}

// A portal is a bound statement. It is routed when it is first executed.
type portal struct {
	name     string
	st       *statement
	formats  []wire.Format
	values   [][]byte
	results  []wire.Format
	describe bool // a Describe waits to go along with the Execute

	shape    shape   // of its rows, where numbers of types in them are to be translated
	link     *link   // of one shard's portal that has more rows
	answer   *answer // of several shards' that has
	pending  []byte  // a row that has been read ahead
	complete bool
	routed   []string // what an EXPLAIN is to say
}

// An expectation is a message that is to come, or one that we answer in its place.
type expect struct {
	l    *link
	want want
	lit  []byte // a message of ours
	p    *portal
	drop bool // the client does not hear of it
	name string
}

type want uint8

const (
	literal want = iota
	parsed
	bound
	rowsDescribed
	executed
	closed
)

// maxQueue is how much may be sent before answers are read, in messages and bytes.
const (
	maxQueue      = 512
	maxQueueBytes = 48 << 10
)

// extended takes a message of the extended protocol.
func (s *Session) extended(ctx context.Context, typ wire.Type, body []byte) error {
	switch typ {
	case wire.TypeParse:
		var m wire.Parse
		if err := m.Decode(body); err != nil {
			return brokenError{err}
		}
		return s.parse(&m)
	case wire.TypeBind:
		var m wire.Bind
		if err := m.Decode(body); err != nil {
			return brokenError{err}
		}
		return s.bind(&m)
	case wire.TypeDescribe:
		var m wire.Describe
		if err := m.Decode(body); err != nil {
			return brokenError{err}
		}
		return s.describeMessage(ctx, &m)
	case wire.TypeExecute:
		var m wire.Execute
		if err := m.Decode(body); err != nil {
			return brokenError{err}
		}
		return s.executeMessage(ctx, &m)
	case wire.TypeClose:
		var m wire.Close
		if err := m.Decode(body); err != nil {
			return brokenError{err}
		}
		return s.closeMessage(&m)
	case wire.TypeFlush:
		if err := s.undescribed(ctx); err != nil {
			return err
		}
		if err := s.settle(); err != nil {
			return err
		}
		return s.flush()
	}
	return brokenError{wire.Errorf(wire.CodeProtocolViolation, "message of type %q is not expected here", byte(typ))}
}

// answer puts a message of ours behind what is still to come.
func (s *Session) answer(m wire.Message) error {
	if len(s.queue) == 0 {
		return s.send(m)
	}
	b, err := wire.Append(nil, m)
	s.queue = append(s.queue, expect{want: literal, lit: b})
	return err
}

// parse is Parse: the text is planned here, and goes to a server when it is used.
func (s *Session) parse(m *wire.Parse) error {
	if m.Name != "" && s.statements[m.Name] != nil {
		return wire.Errorf(wire.CodeDuplicatePreparedStmt, "prepared statement %q already exists", m.Name)
	}
	delete(s.statements, m.Name)
	if _, err := s.router().Prepare(m.SQL, &s.state); err != nil {
		if errors.Is(err, route.ErrSeveral) {
			err = wire.Errorf(wire.CodeSyntaxError, "cannot insert multiple commands into a prepared statement")
		}
		return err
	}
	st := &statement{name: m.Name, sql: m.SQL, types: append([]uint32(nil), m.ParamOIDs...)}
	if m.Name != "" {
		h := sha256.New()
		_, _ = io.WriteString(h, m.SQL)
		for _, t := range m.ParamOIDs {
			_, _ = h.Write([]byte{0, byte(t >> 24), byte(t >> 16), byte(t >> 8), byte(t)})
		}
		st.server = "__pgx_" + hex.EncodeToString(h.Sum(nil)[:12])
	}
	s.statements[m.Name] = st
	return s.answer(&wire.ParseComplete{})
}

// bind is Bind.
func (s *Session) bind(m *wire.Bind) error {
	st := s.statements[m.Statement]
	if st == nil {
		return noStatement(m.Statement)
	}
	if p := s.portals[m.Portal]; p != nil && m.Portal != "" {
		return wire.Errorf(wire.CodeDuplicateCursor, "cursor %q already exists", m.Portal)
	} else if p != nil {
		s.closePortal(p)
	}
	if s.tx.failed {
		switch firstWord(st.sql) {
		case "commit", "end", "rollback", "abort":
		default:
			return wire.Errorf(wire.CodeInFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
		}
	}
	p := &portal{
		name: m.Portal, st: st,
		formats: append([]wire.Format(nil), m.ParamFormats...), results: append([]wire.Format(nil), m.ResultFormats...),
		values: make([][]byte, len(m.Params)),
	}
	n := 0
	for _, v := range m.Params {
		n += len(v)
	}
	own := make([]byte, 0, n)
	for i, v := range m.Params {
		if v != nil {
			at := len(own)
			own = append(own, v...)
			p.values[i] = own[at:len(own):len(own)]
		}
	}
	s.portals[m.Portal] = p
	return s.answer(&wire.BindComplete{})
}

func noStatement(name string) error {
	if name == "" {
		return wire.Errorf(wire.CodeInvalidSQLStatementName, "unnamed prepared statement does not exist")
	}
	return wire.Errorf(wire.CodeInvalidSQLStatementName, "prepared statement %q does not exist", name)
}

// closeMessage is Close.
func (s *Session) closeMessage(m *wire.Close) error {
	if m.Kind == wire.StatementKind {
		delete(s.statements, m.Name)
	} else if p := s.portals[m.Name]; p != nil {
		s.closePortal(p)
		delete(s.portals, m.Name)
	}
	return s.answer(&wire.CloseComplete{})
}

// closePortal frees what a portal has on servers.
func (s *Session) closePortal(p *portal) {
	if p.answer != nil {
		p.answer.stop(errors.New("the portal is closed"))
		p.answer = nil
	}
	if l := p.link; l != nil && !l.dead {
		p.link = nil
		if err := l.put(&wire.Close{Kind: wire.PortalKind, Name: serverPortal(p.name)}); err == nil {
			l.unsynced = true
			s.queue = append(s.queue, expect{l: l, want: closed, drop: true})
		}
	}
}

func serverPortal(name string) string { return "p_" + name }

// sync is Sync: what a pipeline has done takes effect.
func (s *Session) sync(ctx context.Context) error {
	var err error
	if !s.skip {
		if err = s.undescribed(ctx); err == nil {
			// The Sync goes along: an error makes the server take back what is not in a block.
			for _, l := range s.links {
				if l != nil && l.unsynced && !l.dead && err == nil {
					err = l.put(&wire.Sync{})
					l.synced, l.running = true, true
				}
			}
			if err == nil {
				err = s.settle()
			}
		}
		if broken(err) {
			return err
		}
	}
	failed := s.skip || err != nil
	s.queue = s.queue[:0]
	if failed {
		for _, p := range s.portals {
			p.describe = false
		}
	}
	for _, l := range s.links {
		if l == nil || !l.unsynced || l.dead {
			continue
		}
		if l.synced {
			l.synced = false
			e := l.push()
			if e == nil {
				_, e = l.drain()
			}
			if broken(e) {
				return e
			}
			if e != nil && err == nil && !failed {
				err = e
			}
			continue
		}
		if failed && s.tx.none() {
			// What the pipeline has done before the error must not take effect.
			if e := l.putAll(&wire.Parse{SQL: "ROLLBACK"}, &wire.Bind{}, &wire.Execute{}); e != nil {
				l.dead = true
				continue
			}
			l.mute = true
		}
		if e := l.put(&wire.Sync{}); e != nil {
			l.dead = true
			continue
		}
		l.running = true
		e := l.push()
		if e == nil {
			_, e = l.drain()
		}
		l.mute = false
		if broken(e) {
			return e
		}
		if e != nil && err == nil && !failed {
			err = e
		}
	}
	if s.tx.implicit {
		if failed {
			if e := s.rollback(); e != nil {
				return e
			}
		} else {
			err = s.finishImplicit(ctx, err)
			if broken(err) {
				return err
			}
		}
	}
	if err != nil {
		s.fail(err)
	}
	s.skip = false
	if s.tx.none() {
		for _, p := range s.portals {
			if p.answer != nil {
				p.answer.stop(errors.New("the transaction has ended"))
			}
		}
		clear(s.portals)
	}
	return s.ready()
}
