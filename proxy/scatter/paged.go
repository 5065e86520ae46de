package scatter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// pagedPortal is the portal of a paged merge. What asks for an order is the unnamed statement,
// which no error leaves behind.
const pagedPortal = "__pgx_rows"

// A pagedBranch is a branch whose rows come by the page from a portal that stays open, so
// that its connection can be asked other things between the pages. It is a merge.Paged.
type pagedBranch struct {
	*branch
	done bool // the portal has no more rows
	keep bool // the connection is still needed then
}

// openPaged binds what was described, without asking for rows.
func (b *pagedBranch) open(q *request, results []wire.Format) error {
	formats, values, err := b.resumed(q, results)
	if err != nil {
		return err
	}
	return b.l.put(&wire.Bind{Portal: pagedPortal, ParamFormats: formats, Params: values, ResultFormats: results})
}

// Ask implements merge.Paged.
func (b *pagedBranch) Ask(rows int) error {
	if err := b.l.putAll(&wire.Execute{Portal: pagedPortal, MaxRows: uint32(rows)}, &wire.Flush{}); err != nil {
		return err
	}
	b.asked = true
	return b.l.push()
}

// Take implements merge.Paged.
func (b *pagedBranch) Take(_ context.Context, row func([]byte) error) (more bool, err error) {
	for {
		typ, body, err := b.l.next()
		if err != nil {
			b.ended = true
			return false, err
		}
		switch typ {
		case wire.TypeDataRow:
			if body, err = b.row(body); err == nil {
				err = row(body)
			}
			if err != nil {
				return false, err
			}
		case wire.TypePortalSuspended:
			b.asked = false
			return true, nil
		case wire.TypeErrorResponse:
			return false, b.failed(body, true)
		case wire.TypeCommandComplete:
			b.tag, b.tagged, b.asked, b.done = tagOf(body), true, false, true
			if b.keep {
				return false, nil
			}
			return false, b.close()
		}
	}
}

// close ends the portal, and brings the connection to rest.
func (b *pagedBranch) close() error {
	if b.ended {
		return nil
	}
	b.ended = true
	if err := b.l.putAll(&wire.Close{Kind: wire.PortalKind, Name: pagedPortal}, &wire.Sync{}); err != nil {
		return err
	}
	if err := b.l.push(); err != nil {
		return err
	}
	_, err := b.l.drain()
	return err
}

// Stop implements merge.Paged.
func (b *pagedBranch) Stop(cause error) {
	if b.ended {
		return
	}
	if !b.asked {
		if err := b.close(); err != nil {
			b.l.s.ex.cfg.Log.Debug("close a portal", "shard", b.l.shard, "error", err)
		}
		return
	}
	// A page is on its way.
	b.ended = true
	if b.l.putAll(&wire.Close{Kind: wire.PortalKind, Name: pagedPortal}, &wire.Sync{}) != nil || b.l.push() != nil {
		b.l.dead = true
		return
	}
	b.l.abort(context.Background(), cause != nil)
}

// ranked is the answer of an Ordered or Unique merge whose order only a server knows: pages
// of rows are merged by asking it for the order of their keys. The branches are described,
// without a Sync.
func (s *Session) ranked(d *route.Decision, q *request, spec *gather.Spec, program *merge.Program, branches []*branch, results []wire.Format) (*answer, error) {
	paged := make([]*pagedBranch, len(branches))
	streams := make([]merge.Paged, len(branches))
	for i, b := range branches {
		paged[i] = &pagedBranch{branch: b, keep: i == 0}
		streams[i] = paged[i]
	}
	stop := func(cause error) {
		for _, p := range paged {
			p.Stop(cause)
		}
	}
	var err error
	for _, p := range paged {
		if err = p.open(q, results); err != nil {
			break
		}
		p.branch.asked = false
	}
	var rank merge.Ranker
	if err == nil {
		rank, err = s.ranker(program, paged[0])
	}
	if err != nil {
		stop(err)
		return nil, err
	}
	rows := program.RunRanked(streams, rank, window(d), s.ex.cfg.Memory)
	return &answer{
		fields: program.Fields(), rows: true, next: rows.Next,
		tag: func() (string, error) {
			for _, p := range paged {
				if err := p.close(); err != nil {
					stop(err)
					return "", err
				}
			}
			return merge.Tag(spec.Tag, []string{fmt.Sprintf("SELECT %d", rows.Count())}, rows.Count())
		},
		stop: func(cause error) {
			rows.Close(cause)
			stop(cause)
		},
	}, nil
}

// ranker asks the server of a branch, between its pages.
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
	return func(ctx context.Context, keys [][][]byte) ([]int32, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bind := &wire.Bind{ParamFormats: []wire.Format{wire.Binary}, ResultFormats: []wire.Format{wire.Binary}}
		for i, values := range keys {
			elem := uint32(oidText)
			if ranks[i].Encoded {
				elem = oidBytea
			}
			bind.Params = append(bind.Params, arrayOf(elem, values))
		}
		if err := b.l.putAll(bind, &wire.Execute{}, &wire.Flush{}); err != nil {
			return nil, err
		}
		if err := b.l.push(); err != nil {
			b.ended = true
			return nil, err
		}
		var order []int32
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
	}, nil
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
