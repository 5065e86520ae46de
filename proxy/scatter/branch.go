package scatter

import (
	"context"
	"io"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A branch is the part of a statement that one shard executes. It is the stream of the rows
// that the shard returns (merge.Stream).
type branch struct {
	l      *link
	sql    string
	params []int // the client's parameters that sql uses; nil: as they are
	// own says that sql is the client's text.
	own bool

	types  []uint32 // of the parameters, as described
	shape  shape
	fields []wire.Field
	rows   bool // it returns rows
	tag    string
	ended  bool // the server is ready again
	asked  bool // described, without the Sync that comes with resume
	tagged bool
	copies wire.Type // of a COPY's response
	copy   []byte
}

// parameters are those of a request that a text uses.
func parameters(q *request, types []uint32, params []int) (oids []uint32, formats []wire.Format, values [][]byte, err error) {
	if params == nil {
		return q.types, q.formats, q.values, nil
	}
	for _, n := range params {
		if n < 1 || n > len(q.values) {
			return nil, nil, nil, wire.Errorf(wire.CodeUndefinedParameter, "there is no parameter $%d", n)
		}
		var t uint32
		if n <= len(types) {
			t = types[n-1]
		}
		oids = append(oids, t)
		formats = append(formats, wire.FormatAt(q.formats, n-1))
		values = append(values, q.values[n-1])
	}
	return oids, formats, values, nil
}

// start sends the branch's query.
func (b *branch) start(q *request, types []uint32, results []wire.Format) error {
	l := b.l
	if !q.extended {
		if err := l.query(b.sql); err != nil {
			return err
		}
	} else {
		oids, formats, values, err := parameters(q, types, b.params)
		if err == nil {
			values, err = b.bound(q, oids, formats, values)
		}
		if err != nil {
			return err
		}
		for _, m := range []wire.Message{
			&wire.Parse{SQL: b.sql, ParamOIDs: oids},
			&wire.Bind{ParamFormats: formats, Params: values, ResultFormats: results},
			&wire.Describe{Kind: wire.PortalKind},
			&wire.Execute{},
			&wire.Sync{},
		} {
			if err := l.put(m); err != nil {
				return err
			}
		}
	}
	l.running = true
	return l.push()
}

// bound are parameters with the shard's numbers of types in them. types are the client's.
func (b *branch) bound(q *request, types []uint32, formats []wire.Format, values [][]byte) ([][]byte, error) {
	if b.params == nil && q.st != nil && q.st.params != nil {
		types = q.st.params
	}
	return b.l.oids.params(types, formats, values)
}

// describe asks for the description of the rows before anything is bound.
func (b *branch) describe(q *request, types []uint32) error {
	oids, _, _, err := parameters(q, types, b.params)
	if err != nil {
		return err
	}
	b.types = oids
	for _, m := range []wire.Message{&wire.Parse{SQL: b.sql, ParamOIDs: oids}, &wire.Describe{Kind: wire.StatementKind}, &wire.Flush{}} {
		if err := b.l.put(m); err != nil {
			return err
		}
	}
	b.l.running, b.asked = true, true
	return b.l.push()
}

// described reads the answer to describe.
func (b *branch) described() error {
	for {
		typ, body, err := b.l.next()
		if err != nil {
			return err
		}
		switch typ {
		case wire.TypeErrorResponse:
			return b.failed(body, true)
		case wire.TypeNoData:
			return nil
		case wire.TypeRowDescription:
			return b.setFields(body)
		}
	}
}

// resumed are the parameters for what was described. Rows come in the given formats.
func (b *branch) resumed(q *request, results []wire.Format) ([]wire.Format, [][]byte, error) {
	_, formats, values, err := parameters(q, nil, b.params)
	if err == nil {
		values, err = b.bound(q, b.types, formats, values)
	}
	b.shape = b.l.oids.shapeOf(b.fields, func(i int) wire.Format { return wire.FormatAt(results, i) })
	return formats, values, err
}

// row is a DataRow as the client is to see it.
func (b *branch) row(body []byte) ([]byte, error) {
	if b.shape == nil {
		return body, nil
	}
	if err := b.l.oids.rewriteRow(b.shape, body); err != nil {
		b.l.dead, b.ended = true, true
		return nil, err
	}
	return body, nil
}

// resume binds and executes what was described.
func (b *branch) resume(q *request, results []wire.Format) error {
	formats, values, err := b.resumed(q, results)
	if err != nil {
		return err
	}
	for _, m := range []wire.Message{&wire.Bind{ParamFormats: formats, Params: values, ResultFormats: results}, &wire.Execute{}, &wire.Sync{}} {
		if err := b.l.put(m); err != nil {
			return err
		}
	}
	b.asked = false
	return b.l.push()
}

func (b *branch) setFields(body []byte) error {
	var m wire.RowDescription
	if err := m.Decode(body); err != nil {
		return b.l.lost(err)
	}
	b.fields, b.rows = m.Fields, true
	b.shape = b.l.oids.shapeOf(m.Fields, func(i int) wire.Format { return m.Fields[i].Format })
	return nil
}

// failed reads on to the server's rest after an error.
func (b *branch) failed(body []byte, sync bool) error {
	err := b.l.errorOf(body)
	b.ended, b.asked = true, false
	if b.l.dead {
		return err
	}
	if sync {
		if e := b.l.put(&wire.Sync{}); e != nil {
			return e
		}
		if e := b.l.push(); e != nil {
			return err
		}
	}
	if _, e := b.l.drain(); e != nil && broken(e) {
		return e
	}
	return err
}

// header reads up to the first row, or to the end if there are none.
func (b *branch) header() error {
	for {
		typ, body, err := b.l.next()
		if err != nil {
			return err
		}
		switch typ {
		case wire.TypeErrorResponse:
			return b.failed(body, false)
		case wire.TypeRowDescription:
			return b.setFields(body)
		case wire.TypeCommandComplete:
			b.tag, b.tagged = tagOf(body), true
			return b.finish()
		case wire.TypeEmptyQueryResponse:
			return b.finish()
		case wire.TypeCopyInResponse, wire.TypeCopyOutResponse, wire.TypeCopyBothResponse:
			b.copies, b.copy = typ, append([]byte(nil), body...)
			return nil
		}
	}
}

// finish reads the rest of the answer, which has no rows that are wanted.
func (b *branch) finish() error {
	if b.ended {
		return nil
	}
	b.ended = true
	tag, err := b.l.drain()
	if !b.tagged {
		b.tag, b.tagged = tag, true
	}
	return err
}

// Next returns the next row.
func (b *branch) Next(context.Context) ([]byte, error) {
	for {
		if b.ended {
			return nil, io.EOF
		}
		typ, body, err := b.l.next()
		if err != nil {
			b.ended = true
			return nil, err
		}
		switch typ {
		case wire.TypeDataRow:
			return b.row(body)
		case wire.TypeErrorResponse:
			return nil, b.failed(body, false)
		case wire.TypeCommandComplete:
			b.tag, b.tagged = tagOf(body), true
			if err := b.finish(); err != nil {
				return nil, err
			}
		}
	}
}

// Stop brings the server to rest.
func (b *branch) Stop(cause error) {
	if b.ended {
		return
	}
	b.ended = true
	if b.copies == wire.TypeCopyInResponse && !b.l.dead {
		// It waits for data, and for their end.
		if b.l.put(&wire.CopyFail{Message: "COPY has failed on another shard"}) != nil || b.l.push() != nil {
			b.l.dead = true
			return
		}
	}
	if b.asked && !b.l.dead {
		if b.l.put(&wire.Sync{}) != nil || b.l.push() != nil {
			b.l.dead = true
			return
		}
		b.l.abort(context.Background(), false)
		return
	}
	if cause == nil {
		tag, err := b.l.drain()
		if b.tag, b.tagged = tag, true; err != nil {
			b.l.s.ex.cfg.Log.Debug("after the last row", "shard", b.l.shard, "error", err)
		}
		return
	}
	b.l.abort(context.Background(), b.rows)
}
