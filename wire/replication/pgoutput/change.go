package pgoutput

import (
	"fmt"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Kind says what there is of a column's value.
type Kind byte

// The kinds there are.
const (
	Null      Kind = 'n'
	Unchanged Kind = 'u' // a large value that the change left alone and that is not sent
	Text      Kind = 't'
	Binary    Kind = 'b'
)

// A Value is the value of one column.
type Value struct {
	Kind Kind
	Data []byte // of Text and Binary
}

// A Tuple is a row, or what identifies one: then columns that are not part of the replica
// identity are Null.
type Tuple []Value

// NullValue returns a null.
func NullValue() Value { return Value{Kind: Null} }

// TextValue returns a value in text format.
func TextValue(s string) Value { return Value{Kind: Text, Data: []byte(s)} }

func appendTuple(b []byte, t Tuple) []byte {
	b = appendCount(b, len(t))
	for _, v := range t {
		b = append(b, byte(v.Kind))
		switch v.Kind {
		case Text, Binary:
			b = appendUint32(b, uint32(len(v.Data)))
			b = append(b, v.Data...)
		case Null, Unchanged:
		default:
			panic(&wire.EncodeError{Message: "logical replication message", Reason: fmt.Sprintf("unknown kind of value %q", v.Kind)})
		}
	}
	return b
}

func (r *reader) tuple() Tuple {
	n := int(r.uint16())
	if n > r.left() {
		r.fail("it is too short")
		return nil
	}
	t := make(Tuple, 0, n)
	for range n {
		v := Value{Kind: Kind(r.byte())}
		switch v.Kind {
		case Text, Binary:
			v.Data = r.bytes(int(int32(r.uint32())))
		case Null, Unchanged:
		default:
			r.fail("it has an unknown kind of value")
		}
		t = append(t, v)
	}
	return t
}

// Insert is a new row.
type Insert struct {
	XID         uint32 // inside a segment of a streamed transaction, else 0
	RelationOID uint32
	New         Tuple
}

// AppendTo appends the message to b.
func (m *Insert) AppendTo(b []byte) []byte {
	b = appendUint32(begin(b, 'I', m.XID), m.RelationOID)
	return appendTuple(append(b, 'N'), m.New)
}

func (m *Insert) decode(r *reader) {
	m.XID = r.xid()
	m.RelationOID = r.uint32()
	if r.byte() != 'N' {
		r.fail("it has no new row")
	}
	m.New = r.tuple()
}

// Update is a changed row.
type Update struct {
	XID         uint32 // inside a segment of a streamed transaction, else 0
	RelationOID uint32
	// Old is nil unless the replica identity has changed, or is full.
	Old Tuple
	// Full says that Old is the whole row rather than its replica identity.
	Full bool
	New  Tuple
}

// AppendTo appends the message to b.
func (m *Update) AppendTo(b []byte) []byte {
	b = appendUint32(begin(b, 'U', m.XID), m.RelationOID)
	if m.Old != nil {
		b = appendOld(b, m.Old, m.Full)
	}
	return appendTuple(append(b, 'N'), m.New)
}

func (m *Update) decode(r *reader) {
	m.XID = r.xid()
	m.RelationOID = r.uint32()
	what := r.byte()
	if what == 'K' || what == 'O' {
		m.Full = what == 'O'
		m.Old = r.tuple()
		what = r.byte()
	}
	if what != 'N' {
		r.fail("it has no new row")
	}
	m.New = r.tuple()
}

// Delete is a row that is gone.
type Delete struct {
	XID         uint32 // inside a segment of a streamed transaction, else 0
	RelationOID uint32
	Old         Tuple
	Full        bool // Old is the whole row rather than its replica identity
}

// AppendTo appends the message to b.
func (m *Delete) AppendTo(b []byte) []byte {
	b = appendUint32(begin(b, 'D', m.XID), m.RelationOID)
	return appendOld(b, m.Old, m.Full)
}

func (m *Delete) decode(r *reader) {
	m.XID = r.xid()
	m.RelationOID = r.uint32()
	what := r.byte()
	if what != 'K' && what != 'O' {
		r.fail("it has no old row")
	}
	m.Full = what == 'O'
	m.Old = r.tuple()
}

func appendOld(b []byte, t Tuple, full bool) []byte {
	if full {
		return appendTuple(append(b, 'O'), t)
	}
	return appendTuple(append(b, 'K'), t)
}

// Truncate empties tables.
type Truncate struct {
	XID             uint32 // inside a segment of a streamed transaction, else 0
	Cascade         bool
	RestartIdentity bool
	RelationOIDs    []uint32
}

// AppendTo appends the message to b.
func (m *Truncate) AppendTo(b []byte) []byte {
	b = appendUint32(begin(b, 'T', m.XID), uint32(len(m.RelationOIDs)))
	var flags byte
	if m.Cascade {
		flags |= 1
	}
	if m.RestartIdentity {
		flags |= 2
	}
	b = append(b, flags)
	for _, oid := range m.RelationOIDs {
		b = appendUint32(b, oid)
	}
	return b
}

func (m *Truncate) decode(r *reader) {
	m.XID = r.xid()
	n := r.uint32()
	flags := r.byte()
	if flags > 3 {
		r.fail("it has unknown flags")
	}
	m.Cascade, m.RestartIdentity = flags&1 != 0, flags&2 != 0
	if uint64(n)*4 > uint64(r.left()) {
		r.fail("it is too short")
		return
	}
	m.RelationOIDs = make([]uint32, 0, n)
	for range n {
		m.RelationOIDs = append(m.RelationOIDs, r.uint32())
	}
}
