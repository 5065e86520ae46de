package scatter

import (
	"encoding/binary"
	"slices"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Values in binary may have the numbers of types in them: arrays say what their elements are
// (array_send), rows what their columns are (record_send). Where shards have other numbers,
// these are translated in place, since all numbers are of the same length.

// A translation is one direction: types says what the numbers mean before, to gives those
// after.
type translation struct {
	types map[uint32]Named
	to    map[uint32]uint32
}

// The types of anonymous rows.
const (
	oidRecord      = 2249
	oidRecordArray = 2287
)

// named is a type by its number.
func (t translation) named(oid uint32) (Named, bool) {
	switch oid {
	case oidRecord:
		return Named{Kind: 'c'}, true
	case oidRecordArray:
		return Named{Kind: 'a', Base: oidRecord}, true
	}
	n, ok := t.types[oid]
	return n, ok
}

// deep reports whether values of a type have numbers of types in them that may differ.
func (t translation) deep(oid uint32) bool {
	for range 10 { // domains of domains
		n, ok := t.named(oid)
		switch {
		case !ok:
			return false
		case n.Kind == 'a', n.Kind == 'c':
			return true
		case n.Kind != 'd' && n.Kind != 'r' && n.Kind != 'm':
			return false
		}
		oid = n.Base
	}
	return false
}

var errEmbedded = wire.Errorf(wire.CodeInvalidBinaryRepresentation, "a value in binary is malformed")

// maxEmbedded bounds how deep values are nested.
const maxEmbedded = 100

// value translates the numbers in a value.
func (t translation) value(oid uint32, v []byte, depth int) error {
	n, ok := t.named(oid)
	if !ok || !t.deep(oid) {
		return nil
	}
	if depth > maxEmbedded {
		return errEmbedded
	}
	switch n.Kind {
	case 'a':
		return t.array(v, depth)
	case 'c':
		return t.row(v, depth)
	case 'r':
		return t.rangeOf(n.Base, v, depth)
	case 'm':
		return t.each(v, 4, count(v), n.Base, depth)
	}
	return t.value(n.Base, v, depth+1)
}

// count is the number at the beginning of a value; -1 if there is none.
func count(v []byte) int {
	if len(v) < 4 {
		return -1
	}
	return int(int32(binary.BigEndian.Uint32(v)))
}

// number translates the number at a place, and returns what it was.
func (t translation) number(v []byte) uint32 {
	was := binary.BigEndian.Uint32(v)
	if now, ok := t.to[was]; ok {
		binary.BigEndian.PutUint32(v, now)
	}
	return was
}

// each translates n values with their lengths, or as many as there are if n is -1, which is
// only for arrays.
func (t translation) each(v []byte, at, n int, oid uint32, depth int) error {
	if n < 0 {
		return errEmbedded
	}
	for range n {
		var err error
		if at, err = t.one(v, at, oid, depth); err != nil {
			return err
		}
	}
	return nil
}

// one translates the value whose length is at a place, and returns where it ends.
func (t translation) one(v []byte, at int, oid uint32, depth int) (int, error) {
	if len(v)-at < 4 {
		return 0, errEmbedded
	}
	size := int(int32(binary.BigEndian.Uint32(v[at:])))
	at += 4
	if size < 0 {
		return at, nil
	}
	if size > len(v)-at {
		return 0, errEmbedded
	}
	return at + size, t.value(oid, v[at:at+size], depth+1)
}

// array is array_send's: dimensions, flags, the elements' type, bounds, elements.
func (t translation) array(v []byte, depth int) error {
	dims := count(v)
	if dims < 0 || dims > 6 || len(v) < 12+8*dims {
		return errEmbedded
	}
	elem := t.number(v[8:])
	if !t.deep(elem) {
		return nil
	}
	at := 12 + 8*dims
	for at < len(v) {
		var err error
		if at, err = t.one(v, at, elem, depth); err != nil {
			return err
		}
	}
	return nil
}

// row is record_send's: the number of columns, and for each its type, length and value.
func (t translation) row(v []byte, depth int) error {
	n, at := count(v), 4
	if n < 0 {
		return errEmbedded
	}
	for range n {
		if len(v)-at < 4 {
			return errEmbedded
		}
		oid := t.number(v[at:])
		var err error
		if at, err = t.one(v, at+4, oid, depth); err != nil {
			return err
		}
	}
	return nil
}

// rangeOf is range_send's: flags, and the bounds that are not infinite.
func (t translation) rangeOf(bound uint32, v []byte, depth int) error {
	const empty, noLower, noUpper = 0x01, 0x08, 0x10
	if len(v) < 1 {
		return errEmbedded
	}
	n := 2
	switch flags := v[0]; {
	case flags&empty != 0:
		n = 0
	default:
		if flags&noLower != 0 {
			n--
		}
		if flags&noUpper != 0 {
			n--
		}
	}
	return t.each(v, 1, n, bound, depth)
}

// A shape is what has to be translated in the rows of a result: the shard's types of the
// columns that need it, 0 for others.
type shape []uint32

// shapeOf is the shape of rows of fields, whose types are the client's, in formats.
func (o *oids) shapeOf(fields []wire.Field, format func(i int) wire.Format) shape {
	if o == nil {
		return nil
	}
	t := translation{o.server, o.toClient}
	var out shape
	for i, f := range fields {
		if oid := o.serverOf(f.TypeOID); format(i) == wire.Binary && t.deep(oid) {
			if out == nil {
				out = make(shape, len(fields))
			}
			out[i] = oid
		}
	}
	return out
}

// rewriteRow translates a DataRow in place.
func (o *oids) rewriteRow(s shape, body []byte) error {
	t := translation{o.server, o.toClient}
	if len(body) < 2 || int(binary.BigEndian.Uint16(body)) != len(s) {
		return badRow()
	}
	at := 2
	for _, oid := range s {
		var err error
		if at, err = t.one(body, at, oid, 0); err != nil {
			return err
		}
	}
	return nil
}

// params translates parameters to the shard's numbers. Those that change are copied.
func (o *oids) params(types []uint32, formats []wire.Format, values [][]byte) ([][]byte, error) {
	if o == nil || !slices.Contains(formats, wire.Binary) {
		return values, nil
	}
	t := translation{o.clients, o.toServer}
	var out [][]byte
	for i, v := range values {
		if v == nil || i >= len(types) || wire.FormatAt(formats, i) != wire.Binary || !t.deep(types[i]) {
			continue
		}
		if out == nil {
			out = slices.Clone(values)
		}
		out[i] = slices.Clone(v)
		if err := t.value(types[i], out[i], 0); err != nil {
			return nil, err
		}
	}
	if out == nil {
		return values, nil
	}
	return out, nil
}
