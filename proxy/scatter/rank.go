package scatter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A ranker asks the server of a branch for the order of rows, between its pages. It is a
// merge.Ranker.
type ranker struct {
	b     *pagedBranch
	ranks []merge.RankKey
}

// ranker prepares the question.
func (s *Session) ranker(program *merge.Program, b *pagedBranch) (merge.Ranker, error) {
	ranks := program.Ranks()
	var from, by []string
	var parse wire.Parse
	for i, k := range ranks {
		if k.Encoded {
			from = append(from, fmt.Sprintf("$%d::bytea[]", i+1))
			by = append(by, fmt.Sprintf("u.c%d", i))
			parse.ParamOIDs = append(parse.ParamOIDs, oidByteaArray)
			continue
		}
		// Names of built-in types only: others are asked for by their number.
		typ, ok := map[uint32]string{oidText: "text", oidVarchar: "text", oidName: `name`, oidBpchar: "bpchar"}[k.Field.TypeOID]
		if !ok {
			if err := s.lossy(); err != nil {
				return nil, err
			}
			names, err := s.pagedType(b, k.Field)
			if err != nil {
				return nil, err
			}
			typ = names
		}
		expr := fmt.Sprintf("u.c%d::%s", i, typ)
		if k.Key.Collation.Name != "" {
			expr = "(" + expr + ") COLLATE " + k.Key.Collation.Name
		}
		expr += map[bool]string{true: " DESC", false: " ASC"}[k.Key.Descending] + map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[k.Key.NullsFirst]
		from, by = append(from, fmt.Sprintf("$%d::text[]", i+1)), append(by, expr)
		parse.ParamOIDs = append(parse.ParamOIDs, oidTextArray)
	}
	var columns []string
	for i := range ranks {
		columns = append(columns, fmt.Sprintf("c%d", i))
	}
	parse.SQL = "SELECT pg_catalog.array_agg((u.o - 1)::pg_catalog.int4 ORDER BY " + strings.Join(by, ", ") + ", u.o) FROM unnest(" +
		strings.Join(from, ", ") + ") WITH ORDINALITY AS u(" + strings.Join(columns, ", ") + ", o)"
	if err := b.l.put(&parse); err != nil {
		return nil, err
	}
	return &ranker{b, ranks}, nil
}

// Ask implements merge.Ranker.
func (r *ranker) Ask(keys [][][]byte) error {
	bind := &wire.Bind{ParamFormats: []wire.Format{wire.Binary}, ResultFormats: []wire.Format{wire.Binary}}
	for i, values := range keys {
		elem := uint32(oidText)
		if r.ranks[i].Encoded {
			elem = oidBytea
		}
		bind.Params = append(bind.Params, arrayOf(elem, values))
	}
	if err := r.b.l.putAll(bind, &wire.Execute{}, &wire.Flush{}); err != nil {
		return err
	}
	r.b.rank = true
	if err := r.b.l.push(); err != nil {
		r.b.ended = true
		return err
	}
	return nil
}

// Order implements merge.Ranker.
func (r *ranker) Order(context.Context) (order []int32, err error) {
	b := r.b
	b.rank = false
	for {
		typ, body, err := b.l.next()
		if err != nil {
			b.ended = true
			return nil, err
		}
		switch typ {
		case wire.TypeErrorResponse:
			return nil, unplaced(b.failed(body, true))
		case wire.TypeDataRow:
			if order, err = int4s(body); err != nil {
				b.l.dead, b.ended = true, true
				return nil, err
			}
		case wire.TypeCommandComplete:
			return order, nil
		}
	}
}

// pagedType is the name of a type, asked for on a connection in the middle of a pipeline.
func (s *Session) pagedType(b *pagedBranch, f wire.Field) (string, error) {
	sql := fmt.Sprintf("SELECT pg_catalog.format_type(%d, %d)", b.l.oids.serverOf(f.TypeOID), f.TypeMod)
	if err := b.l.putAll(&wire.Parse{SQL: sql}, &wire.Bind{}, &wire.Execute{}, &wire.Flush{}); err != nil {
		return "", err
	}
	if err := b.l.push(); err != nil {
		return "", err
	}
	name := ""
	for {
		typ, body, err := b.l.next()
		if err != nil {
			b.ended = true
			return "", err
		}
		switch typ {
		case wire.TypeErrorResponse:
			return "", b.failed(body, true)
		case wire.TypeDataRow:
			values, err := columnsOf(nil, body)
			if err != nil {
				return "", err
			}
			name = string(values[0])
		case wire.TypeCommandComplete:
			return name, nil
		}
	}
}

const (
	oidBytea      = 17
	oidName       = 19
	oidByteaArray = 1001
	oidBpchar     = 1042
	oidVarchar    = 1043
)

// arrayOf is a binary array of one dimension (array_recv in arrayfuncs.c).
func arrayOf(elem uint32, values [][]byte) []byte {
	size := 20
	nulls := uint32(0)
	for _, v := range values {
		size += 4 + len(v)
		if v == nil {
			nulls = 1
		}
	}
	b := make([]byte, 0, size)
	for _, n := range []uint32{1, nulls, elem, uint32(len(values)), 1} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, v := range values {
		if v == nil {
			b = binary.BigEndian.AppendUint32(b, 1<<32-1)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
	}
	return b
}

// int4s reads a row of one binary int4[] without NULLs.
func int4s(row []byte) ([]int32, error) {
	values, err := columnsOf(nil, row)
	if err != nil {
		return nil, err
	}
	if len(values) != 1 || len(values[0]) < 20 {
		return nil, errors.New("a server's order of rows cannot be read")
	}
	v := values[0]
	n := int(binary.BigEndian.Uint32(v[12:]))
	if v = v[20:]; len(v) != 8*n {
		return nil, errors.New("a server's order of rows cannot be read")
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(binary.BigEndian.Uint32(v[8*i+4:]))
	}
	return out, nil
}
