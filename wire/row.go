package wire

import "slices"

// A Field describes one column of a result.
type Field struct {
	Name     string
	TableOID uint32 // 0 if the column is no table's
	Column   int16  // attribute number in that table, or 0
	TypeOID  uint32
	TypeSize int16 // pg_type.typlen; negative for variable width
	TypeMod  int32 // pg_attribute.atttypmod; -1 if the type has none
	Format   Format
}

// A RowDescription describes the rows that follow, or those that a statement or portal
// would return.
type RowDescription struct {
	Fields []Field
}

func (*RowDescription) backend() {}

// AppendTo appends the message to b.
func (m *RowDescription) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeRowDescription)
	b = appendCount(b, len(m.Fields), "RowDescription")
	for i := range m.Fields {
		f := &m.Fields[i]
		b = appendString(b, f.Name, "RowDescription")
		b = appendUint32(b, f.TableOID)
		b = appendInt16(b, f.Column)
		b = appendUint32(b, f.TypeOID)
		b = appendInt16(b, f.TypeSize)
		b = appendInt32(b, f.TypeMod)
		b = appendInt16(b, int16(f.Format))
	}
	return end(b, at)
}

// Decode reads the message from its body.
func (m *RowDescription) Decode(body []byte) error {
	c := newCursor("RowDescription", body)
	n := c.count(19) // an empty name takes a byte, the rest 18
	// The old elements are kept for their names, which cursor.string uses again.
	m.Fields = slices.Grow(m.Fields[:0], n)[:n]
	for i := range m.Fields {
		f := &m.Fields[i]
		c.string(&f.Name)
		f.TableOID = c.uint32()
		f.Column = int16(c.uint16())
		f.TypeOID = c.uint32()
		f.TypeSize = int16(c.uint16())
		f.TypeMod = c.int32()
		f.Format = Format(c.uint16())
	}
	return c.end()
}

// A DataRow is one row of a result. A nil value is NULL.
type DataRow struct {
	Values [][]byte
}

func (*DataRow) backend() {}

// AppendTo appends the message to b.
func (m *DataRow) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeDataRow)
	b = appendValues(b, m.Values, "DataRow")
	return end(b, at)
}

// Decode reads the message from its body. The values share the body's memory.
func (m *DataRow) Decode(body []byte) error {
	values, rest, ok := splitValues(m.Values, body)
	m.Values = values
	if ok && len(rest) == 0 {
		return nil
	}
	c := newCursor("DataRow", body)
	m.Values = c.values(m.Values)
	return c.end()
}

// NoData says that a statement or portal returns no rows.
type NoData struct{}

func (*NoData) backend() {}

// AppendTo appends the message to b.
func (*NoData) AppendTo(b []byte) []byte { return emptyBody(b, TypeNoData) }

// Decode reads the message from its body.
func (*NoData) Decode(body []byte) error { return decodeEmpty("NoData", body) }
