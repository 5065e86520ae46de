package scatter

import (
	"encoding/binary"

	"github.com/pgx-dev/pgx-dev/wire"
)

// TypesSQL asks a shard for its own types, by name, in the columns that [Executor.SetTypes]
// wants.
const TypesSQL = `SELECT n.nspname || '.' || t.typname, t.oid FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid >= 16384`

// OIDs translate the numbers of a shard's types to those of the first shard's types of the
// same names, which are what clients see, and back. Nil: they are the same.
type oids struct {
	toClient, toServer map[uint32]uint32
}

// SetTypes says what each shard's own types are called, and their numbers there, as
// [TypesSQL] returns them.
func (e *Executor) SetTypes(shards []map[string]uint32) {
	out := make([]*oids, len(shards))
	for i, types := range shards {
		for name, oid := range types {
			want, ok := shards[0][name]
			if !ok || want == oid {
				continue
			}
			if out[i] == nil {
				out[i] = &oids{map[uint32]uint32{}, map[uint32]uint32{}}
			}
			out[i].toClient[oid], out[i].toServer[want] = want, oid
		}
	}
	e.oids.Store(&out)
}

// oidsOf returns the translation for a shard.
func (e *Executor) oidsOf(shard int) *oids {
	if p := e.oids.Load(); p != nil && shard < len(*p) {
		return (*p)[shard]
	}
	return nil
}

// server returns the shard's number of a type.
func (o *oids) server(oid uint32) uint32 {
	if o != nil {
		if n, ok := o.toServer[oid]; ok {
			return n
		}
	}
	return oid
}

// parse translates the types of a Parse.
func (o *oids) parse(m *wire.Parse) *wire.Parse {
	if o == nil || len(m.ParamOIDs) == 0 {
		return m
	}
	c := *m
	c.ParamOIDs = make([]uint32, len(m.ParamOIDs))
	for i, t := range m.ParamOIDs {
		c.ParamOIDs[i] = o.server(t)
	}
	return &c
}

// rewrite translates the types in a RowDescription or ParameterDescription, in place.
func (o *oids) rewrite(typ wire.Type, body []byte) {
	if o == nil || len(body) < 2 {
		return
	}
	change := func(at int) {
		if at+4 > len(body) {
			return // whoever decodes it finds out
		}
		if n, ok := o.toClient[binary.BigEndian.Uint32(body[at:])]; ok {
			binary.BigEndian.PutUint32(body[at:], n)
		}
	}
	n := int(binary.BigEndian.Uint16(body))
	if typ == wire.TypeParameterDescription {
		for i := range n {
			change(2 + 4*i)
		}
		return
	}
	at := 2
	for range n {
		for at < len(body) && body[at] != 0 {
			at++
		}
		change(at + 1 + 4 + 2)
		at += 1 + 18
	}
}
