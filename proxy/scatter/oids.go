package scatter

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/pgx-dev/pgx-dev/wire"
)

// TypesSQL asks a shard for its own types and tables: name, number, kind, and the type that it
// is made of, in the columns of [Named].
const TypesSQL = `SELECT n.nspname || '.' || t.typname, t.oid,
	CASE WHEN t.typtype = 'b' AND t.typelem <> 0 AND t.typlen = -1 THEN 'a' ELSE t.typtype::text END,
	CASE t.typtype WHEN 'd' THEN t.typbasetype WHEN 'r' THEN (SELECT rngsubtype FROM pg_catalog.pg_range WHERE rngtypid = t.oid)
		WHEN 'm' THEN (SELECT (to_jsonb(r)->>'rngtypid')::oid FROM pg_catalog.pg_range r WHERE (to_jsonb(r)->>'rngmultitypid')::oid = t.oid) ELSE t.typelem END
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid >= 16384
UNION ALL SELECT n.nspname || '.' || c.relname, c.oid, 'T', 0
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`

// A Named is a type or table of a shard's own.
type Named struct {
	Name string // with its schema
	OID  uint32
	// Kind is pg_type.typtype, a for an array, or T for a table.
	Kind byte
	// Base is the type of the elements of an array, the values of a domain, the bounds of a
	// range, or the ranges of a multirange.
	Base uint32
}

// ReadNamed reads a row of [TypesSQL].
func ReadNamed(row [][]byte) (Named, error) {
	if len(row) != 4 || len(row[2]) != 1 {
		return Named{}, fmt.Errorf("a type has %d columns", len(row))
	}
	oid, err := strconv.ParseUint(string(row[1]), 10, 32)
	if err != nil {
		return Named{}, err
	}
	base := uint64(0)
	if len(row[3]) > 0 {
		base, err = strconv.ParseUint(string(row[3]), 10, 32)
	}
	return Named{string(row[0]), uint32(oid), row[2][0], uint32(base)}, err
}

// oids translate the numbers of a shard's types and tables to those of the first shard's of
// the same names, which are what clients see, and back. Nil: they are the same.
type oids struct {
	toClient, toServer map[uint32]uint32
	tables             map[uint32]uint32
	// server and clients are the types by their numbers here and there.
	server, clients map[uint32]Named
}

// SetTypes says what each shard's own types and tables are called, and their numbers there.
func (e *Executor) SetTypes(shards [][]Named) {
	out := make([]*oids, len(shards))
	type key struct {
		name  string
		table bool
	}
	first := map[key]uint32{}
	clients := map[uint32]Named{}
	for i, list := range shards {
		o := &oids{map[uint32]uint32{}, map[uint32]uint32{}, map[uint32]uint32{}, map[uint32]Named{}, clients}
		for _, t := range list {
			k := key{t.Name, t.Kind == 'T'}
			if !k.table {
				o.server[t.OID] = t
			}
			if i == 0 {
				first[k] = t.OID
				continue
			}
			switch want, ok := first[k]; {
			case !ok || want == t.OID:
			case k.table:
				o.tables[t.OID] = want
			default:
				o.toClient[t.OID], o.toServer[want] = want, t.OID
			}
		}
		if i == 0 {
			clients = o.server
		} else if len(o.toClient)+len(o.tables) > 0 {
			out[i] = o
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

// client returns the number of a type that clients see.
func (o *oids) client(oid uint32) uint32 {
	if o != nil {
		if n, ok := o.toClient[oid]; ok {
			return n
		}
	}
	return oid
}

// serverOf returns the shard's number of a type.
func (o *oids) serverOf(oid uint32) uint32 {
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
		c.ParamOIDs[i] = o.serverOf(t)
	}
	return &c
}

// rewrite translates the types and tables in a RowDescription or ParameterDescription, in
// place.
func (o *oids) rewrite(typ wire.Type, body []byte) {
	if o == nil || len(body) < 2 {
		return
	}
	change := func(at int, by map[uint32]uint32) {
		if at+4 > len(body) {
			return // whoever decodes it finds out
		}
		if n, ok := by[binary.BigEndian.Uint32(body[at:])]; ok {
			binary.BigEndian.PutUint32(body[at:], n)
		}
	}
	n := int(binary.BigEndian.Uint16(body))
	if typ == wire.TypeParameterDescription {
		for i := range n {
			change(2+4*i, o.toClient)
		}
		return
	}
	at := 2
	for range n {
		for at < len(body) && body[at] != 0 {
			at++
		}
		change(at+1, o.tables)
		change(at+1+4+2, o.toClient)
		at += 1 + 18
	}
}
