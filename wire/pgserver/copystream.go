package pgserver

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A CopyReader reads the data of a COPY … FROM STDIN. It is not safe for concurrent use.
type CopyReader struct {
	w       *response
	f       CopyFormat
	columns int
	data    []byte // of the current message
	err     error  // sticky: io.EOF after CopyDone
	lost    error  // why the connection must end
	rows    int64
}

func (w *response) CopyIn(f CopyFormat, columns int) (*CopyReader, error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	if err := w.c.w.Send(&wire.CopyInResponse{Format: f.wire(), Columns: f.columns(columns)}); err != nil {
		return nil, err
	}
	if err := w.c.w.Flush(); err != nil {
		return nil, err
	}
	w.c.state = copyIn
	w.in = &CopyReader{w: w, f: f, columns: columns}
	return w.in, nil
}

// Read reads the data as it comes, in pieces that have nothing to do with rows. It returns
// io.EOF when the client is done, and an error with code 57014 when the client gives up.
func (r *CopyReader) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		if err := r.message(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// message waits for the next CopyData message.
func (r *CopyReader) message() error {
	if r.err != nil {
		return r.err
	}
	c := r.w.c
	f, err := c.next()
	if err != nil {
		if r.err = err; !errors.Is(c.current.Load().err(), err) {
			r.lost = err
		}
		return err
	}
	switch actionFor(c.state, f.Type) {
	case ignore:
		return nil
	case leave:
		r.err, r.lost = errTerminate, errTerminate
		return r.err
	case copyTake:
	default:
		r.err = &wire.Error{
			Severity: wire.SeverityFatal, Code: wire.CodeProtocolViolation,
			Message: fmt.Sprintf("unexpected message type 0x%02X during COPY from stdin", byte(f.Type)),
		}
		r.lost = r.err
		return r.err
	}
	switch f.Type {
	case wire.TypeCopyData:
		r.data = f.Body
		return nil
	case wire.TypeCopyDone:
		r.end(io.EOF)
		var done wire.CopyDone
		if err := done.Decode(f.Body); err != nil {
			r.err = err
		}
		return r.err
	}
	var fail wire.CopyFail
	if err := fail.Decode(f.Body); err != nil {
		r.end(err)
		return err
	}
	r.end(wire.Errorf(wire.CodeQueryCanceled, "COPY from stdin failed: %s", fail.Message))
	return r.err
}

// end leaves the state in which COPY data comes.
func (r *CopyReader) end(err error) {
	r.err = err
	r.w.in = nil
	r.w.copied = true
	r.w.c.state = ready
	if r.w.extended {
		r.w.c.state = batch
	}
}

// Rows reads the data row by row. The values are text, or binary in the binary format, of no
// type: set Value.Type to scan binary ones. They are valid until the next row. After an error
// there are no more rows.
func (r *CopyReader) Rows() iter.Seq2[[]Value, error] {
	return func(yield func([]Value, error) bool) {
		f := r.f
		version, _ := r.w.q.Session.Param("server_version")
		major := version[:len(version)-len(strings.TrimLeft(version, "0123456789"))] // of 18.4, or of 18beta1
		n, err := strconv.Atoi(major)
		f.NoEndMarker = f.NoEndMarker || err == nil && n >= 18
		d := NewCopyDecoder(r, f, r.columns)
		var values []Value
		for {
			row, err := d.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			r.rows++
			values = values[:0]
			for i, v := range row {
				values = append(values, Value{Format: r.f.wire(), Data: v, index: i, session: r.w.q.Session})
			}
			if !yield(values, nil) {
				return
			}
		}
	}
}

// Count returns how many rows Rows has returned.
func (r *CopyReader) Count() int64 { return r.rows }

// drain passes over what the handler did not read.
func (r *CopyReader) drain() error {
	for {
		r.data = nil
		if err := r.message(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// A CopyWriter sends the data of a COPY … TO STDOUT. Close ends it. It is not safe for
// concurrent use.
type CopyWriter struct {
	w      *response
	f      CopyFormat
	n      int
	enc    rowEncoder
	begun  bool
	names  []string
	rows   int64
	closed bool
	row    [][]byte
	mem    []byte
	ahead  []byte // the binary header, until the first row
}

func (w *response) CopyOut(f CopyFormat, columns int) (*CopyWriter, error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	if err := w.c.w.Send(&wire.CopyOutResponse{Format: f.wire(), Columns: f.columns(columns)}); err != nil {
		return nil, err
	}
	w.copied = true
	out := &CopyWriter{w: w, f: f.defaults(), n: columns}
	out.enc = rowEncoder{s: w.q.Session, oids: make([]uint32, columns), formats: f.columns(columns)}
	return out, nil
}

// Columns tells Row the names, for a header, and the types of the columns. Without it the
// types follow from the Go values.
func (o *CopyWriter) Columns(cols ...Column) error {
	if len(cols) != o.n || o.begun {
		return fmt.Errorf("pgserver: Columns must come before the first row and name %d columns", o.n)
	}
	for i, c := range cols {
		o.enc.oids[i] = c.oid()
		o.names = append(o.names, c.Name)
	}
	return nil
}

// Write sends a piece of data, whatever is in it: the caller has encoded it.
func (o *CopyWriter) Write(p []byte) (int, error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	o.begun = true
	sent := 0
	for len(p) > 0 {
		part := p[:min(len(p), 1<<20)]
		if err := o.w.c.w.Send(&wire.CopyData{Data: part}); err != nil {
			return sent, err
		}
		sent += len(part)
		p = p[len(part):]
	}
	return sent, nil
}

// Row sends a row, one message as PostgreSQL does. Values are encoded as those of
// [ResponseWriter.Row].
func (o *CopyWriter) Row(values ...any) error {
	if err := o.check(); err != nil {
		return err
	}
	if len(values) != o.n {
		return fmt.Errorf("pgserver: a row of %d values for %d columns", len(values), o.n)
	}
	if err := o.start(); err != nil {
		return err
	}
	o.row, o.mem = o.row[:0], o.mem[:0]
	ends := make([]int, len(values))
	for i, v := range values {
		if o.enc.oids[i] == 0 && v != nil {
			o.enc.oids[i] = o.typeOf(v)
		}
		out, null, err := o.enc.append(o.mem, i, v)
		if err != nil {
			return err
		}
		if ends[i] = len(out); null {
			ends[i] = -1
			out = o.mem
		}
		o.mem = out
	}
	if o.mem == nil {
		o.mem = []byte{} // a value of no bytes is not NULL
	}
	from := 0
	for _, end := range ends {
		if end < 0 {
			o.row = append(o.row, nil)
			continue
		}
		o.row = append(o.row, o.mem[from:end:end])
		from = end
	}
	return o.send(func(b []byte) []byte { return o.f.AppendRow(b, o.row) })
}

func (o *CopyWriter) typeOf(v any) uint32 {
	if t, ok := o.w.q.Session.Types().TypeForValue(v); ok {
		return t.OID
	}
	return pgtype.TextOID
}

func (o *CopyWriter) send(data func([]byte) []byte) error {
	b, at := wire.Begin(o.w.c.w.Buffer(), wire.TypeCopyData)
	b = append(b, o.ahead...)
	o.ahead = nil
	b, err := wire.End(data(b), at)
	if err != nil {
		return err
	}
	o.rows++
	return o.w.c.w.Commit(b)
}

// start sends the header before the first row.
func (o *CopyWriter) start() error {
	if o.begun {
		return nil
	}
	o.begun = true
	header := o.f.AppendHeader(nil, o.names...)
	if o.f.Kind == CopyBinary {
		// As PostgreSQL: in one message with the first row. There are clients that take each
		// message for a row.
		o.ahead = header
		return nil
	}
	if len(header) == 0 {
		return nil
	}
	return o.w.c.w.Send(&wire.CopyData{Data: header})
}

func (o *CopyWriter) check() error {
	switch {
	case o.w.silent:
		return ErrPortalClosed
	case o.closed:
		return errors.New("pgserver: the COPY is closed")
	}
	return o.w.run.err()
}

// Close ends the data. If Row was used, it also completes the command with "COPY" and the
// number of rows; else the handler calls Complete.
func (o *CopyWriter) Close() error {
	if err := o.check(); err != nil {
		return err
	}
	byRow := o.rows > 0 || !o.begun
	if byRow {
		if err := o.start(); err != nil {
			return err
		}
		if trailer := o.f.AppendTrailer(o.ahead); len(trailer) > 0 {
			if err := o.w.c.w.Send(&wire.CopyData{Data: trailer}); err != nil {
				return err
			}
		}
	}
	o.closed = true
	if err := o.w.c.w.Send(&wire.CopyDone{}); err != nil {
		return err
	}
	if byRow {
		return o.w.Complete(fmt.Sprintf("COPY %d", o.rows))
	}
	return nil
}

// A CopyConn is a stream of messages in both directions, for replication. One goroutine may
// receive while another one sends.
type CopyConn struct {
	w    *response
	r    *CopyReader
	done bool // CopyDone was sent
}

func (w *response) CopyBoth() (*CopyConn, error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	if err := w.c.w.Send(&wire.CopyBothResponse{}); err != nil {
		return nil, err
	}
	w.c.mustFlush = false // from here on the reading side must not touch the writer
	if err := w.c.w.Flush(); err != nil {
		return nil, err
	}
	w.c.state = copyBoth
	w.in = &CopyReader{w: w, f: CopyFormat{Kind: CopyBinary}}
	w.both = &CopyConn{w: w, r: w.in}
	return w.both, nil
}

// Receive returns the data of the client's next message, valid until the next call, and io.EOF
// when the client is done.
func (b *CopyConn) Receive() ([]byte, error) {
	b.r.data = nil
	if err := b.r.message(); err != nil {
		return nil, err
	}
	return b.r.data, nil
}

// Send queues a message; Flush sends what is queued, as does a full block.
func (b *CopyConn) Send(data []byte) error {
	if b.done {
		return errors.New("pgserver: the stream is closed")
	}
	if err := b.w.run.err(); err != nil {
		return err
	}
	return b.w.c.w.Send(&wire.CopyData{Data: data})
}

// Flush sends what is queued.
func (b *CopyConn) Flush() error { return b.w.c.w.Flush() }

// Close says that this side is done. The client may still send; Receive it until io.EOF, or
// return: the library then passes over it.
func (b *CopyConn) Close() error {
	if b.done {
		return nil
	}
	b.done = true
	if err := b.w.c.w.Send(&wire.CopyDone{}); err != nil {
		return err
	}
	return b.w.c.w.Flush()
}
