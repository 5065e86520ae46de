package pgoutput

// A ReplicaIdentity says what identifies a row that was changed (pg_class.relreplident).
type ReplicaIdentity byte

// The replica identities there are.
const (
	IdentityDefault ReplicaIdentity = 'd' // the primary key, if there is one
	IdentityNothing ReplicaIdentity = 'n'
	IdentityFull    ReplicaIdentity = 'f' // all columns
	IdentityIndex   ReplicaIdentity = 'i' // the columns of an index
)

// A Column is a column of a relation.
type Column struct {
	Key     bool // part of the replica identity
	Name    string
	TypeOID uint32
	TypeMod int32
}

// A Relation describes a table. It comes before the table's first change.
type Relation struct {
	XID      uint32 // inside a segment of a streamed transaction, else 0
	OID      uint32 // by which changes name it
	Schema   string // empty for pg_catalog
	Name     string
	Identity ReplicaIdentity
	Columns  []Column
}

// AppendTo appends the message to b.
func (m *Relation) AppendTo(b []byte) []byte {
	b = appendUint32(begin(b, 'R', m.XID), m.OID)
	b = appendString(b, m.Schema)
	b = appendString(b, m.Name)
	b = append(b, byte(m.Identity))
	b = appendCount(b, len(m.Columns))
	for _, c := range m.Columns {
		b = appendBool(b, c.Key)
		b = appendString(b, c.Name)
		b = appendUint32(b, c.TypeOID)
		b = appendUint32(b, uint32(c.TypeMod))
	}
	return b
}

func (m *Relation) decode(r *reader) {
	m.XID = r.xid()
	m.OID, m.Schema, m.Name = r.uint32(), r.string(), r.string()
	m.Identity = ReplicaIdentity(r.byte())
	n := int(r.uint16())
	if n*10 > r.left() { // flags, an empty name, type and modifier
		r.fail("it is too short")
		return
	}
	m.Columns = make([]Column, 0, n)
	for range n {
		var c Column
		c.Key = r.byte()&1 != 0
		c.Name = r.string()
		c.TypeOID = r.uint32()
		c.TypeMod = int32(r.uint32())
		m.Columns = append(m.Columns, c)
	}
}

// A Type names a type that is not built in.
type Type struct {
	XID    uint32 // inside a segment of a streamed transaction, else 0
	OID    uint32
	Schema string // empty for pg_catalog
	Name   string
}

// AppendTo appends the message to b.
func (m *Type) AppendTo(b []byte) []byte {
	b = appendUint32(begin(b, 'Y', m.XID), m.OID)
	b = appendString(b, m.Schema)
	return appendString(b, m.Name)
}

func (m *Type) decode(r *reader) {
	m.XID = r.xid()
	m.OID, m.Schema, m.Name = r.uint32(), r.string(), r.string()
}
