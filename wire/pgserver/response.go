package pgserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// response is the ResponseWriter of one statement.
type response struct {
	c        *conn
	q        *Query
	run      *running
	extended bool
	want     []Column      // extended: what Describe told, nil if it was not asked
	wanted   bool          // want holds
	ask      []wire.Format // extended: the formats that Bind asked for

	open    bool // Columns was called, Complete not
	results int  // completed
	copied  bool // a COPY took place
	enc     rowEncoder
	formats []wire.Format
	rows    uint64 // since the last fetch began
	limit   uint64 // of the fetch; 0 is none
	suspend func() error

	describing bool
	described  []Column

	in   *CopyReader // not at its end
	both *CopyConn

	silent bool // the portal is closed: nothing may be sent any more
}

func (w *response) Columns(cols ...Column) error {
	if w.describing {
		if w.described == nil {
			w.described = append([]Column{}, cols...)
		}
		return ErrDescribeOnly
	}
	if err := w.begin(); err != nil {
		return err
	}
	if w.extended {
		if w.wanted && !sameTypes(w.want, cols) {
			return wire.Errorf(wire.CodeFeatureNotSupported, "cached plan must not change result type")
		}
		if n := len(w.ask); n > 1 && n != len(cols) {
			return wire.Errorf(wire.CodeProtocolViolation, "bind message has %d result formats but query has %d columns", n, len(cols))
		}
	}
	w.formats = make([]wire.Format, len(cols))
	for i := range w.formats {
		w.formats[i] = wire.FormatAt(w.ask, i)
	}
	w.enc.init(w.q.Session, cols, w.formats)
	w.open, w.rows = true, 0
	if w.extended {
		return nil
	}
	return w.c.w.Send(rowDescription(cols, w.formats))
}

// begin checks that a new result may start.
func (w *response) begin() error {
	switch {
	case w.silent:
		return ErrPortalClosed
	case w.describing:
		return ErrDescribeOnly
	case w.open:
		return errors.New("pgserver: the last result is not complete: call Complete before the next one")
	case w.in != nil:
		return errors.New("pgserver: the COPY data is not read to its end")
	case w.extended && w.results > 0:
		return errors.New("pgserver: a prepared statement has one result only")
	}
	return w.run.err()
}

func rowDescription(cols []Column, formats []wire.Format) *wire.RowDescription {
	m := &wire.RowDescription{Fields: make([]wire.Field, len(cols))}
	for i, c := range cols {
		m.Fields[i] = c.field(formats[i])
	}
	return m
}

func sameTypes(a, b []Column) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].oid() != b[i].oid() {
			return false
		}
	}
	return true
}

// Formats returns the format of each column.
func (w *response) Formats() []wire.Format { return w.formats }

// rowErr says why a row of n values cannot be sent.
func (w *response) rowErr(n int) error {
	switch {
	case w.silent:
		return ErrPortalClosed
	case w.describing:
		return ErrDescribeOnly
	case !w.open:
		return errors.New("pgserver: Row before Columns")
	case n != len(w.formats):
		return fmt.Errorf("pgserver: a row of %d values for %d columns", n, len(w.formats))
	}
	return w.run.err()
}

func (w *response) Row(values ...any) error {
	if !w.open || len(values) != len(w.formats) || w.run.stopped.Load() {
		if err := w.rowErr(len(values)); err != nil {
			return err
		}
	}
	b, at := wire.Begin(w.c.w.Buffer(), wire.TypeDataRow)
	b = binary.BigEndian.AppendUint16(b, uint16(len(values)))
	for i, v := range values {
		pos := len(b)
		b = append(b, 0, 0, 0, 0)
		out, null, err := w.enc.append(b, i, v)
		if err != nil {
			return err
		}
		b = closeValue(out, pos, null)
	}
	return w.sent(b, at)
}

func (w *response) RawRow(values [][]byte) error {
	if !w.open || len(values) != len(w.formats) || w.run.stopped.Load() {
		if err := w.rowErr(len(values)); err != nil {
			return err
		}
	}
	// The rest is Begin, End and sent by hand, for a length that is known before: calls, and a
	// check of the room for each value, would be a fifth of a short row's cost.
	n := 7
	for _, v := range values {
		n += 4 + len(v)
	}
	out := w.c.w
	b := out.Buffer()
	if n-1 > wire.MaxLargeMessage {
		return &wire.EncodeError{
			Message: fmt.Sprintf("message of type %v", wire.TypeDataRow),
			Reason:  fmt.Sprintf("%d bytes are more than the limit of %d", n-1, wire.MaxLargeMessage),
		}
	}
	at := len(b)
	if cap(b)-at < n {
		b = slices.Grow(b, n)
	}
	b = b[:at+n]
	row := b[at:]
	row[0] = byte(wire.TypeDataRow)
	binary.BigEndian.PutUint32(row[1:], uint32(n-1))
	binary.BigEndian.PutUint16(row[5:], uint16(len(values)))
	row = row[7:]
	for _, v := range values {
		if v == nil {
			binary.BigEndian.PutUint32(row, 0xffffffff)
			row = row[4:]
			continue
		}
		binary.BigEndian.PutUint32(row, uint32(len(v)))
		to := row[4 : 4+len(v)]
		row = row[4+len(v):]
		// Short values without a call: two words that may overlap.
		switch n := len(v); {
		case n > 16:
			copy(to, v)
		case n >= 8:
			binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(v))
			binary.LittleEndian.PutUint64(to[n-8:], binary.LittleEndian.Uint64(v[n-8:]))
		case n >= 4:
			binary.LittleEndian.PutUint32(to, binary.LittleEndian.Uint32(v))
			binary.LittleEndian.PutUint32(to[n-4:], binary.LittleEndian.Uint32(v[n-4:]))
		case n > 0: // one to three bytes
			to[0], to[n/2], to[n-1] = v[0], v[n/2], v[n-1]
		}
	}
	if err := out.Commit(b); err != nil {
		return err
	}
	if w.rows++; w.rows == w.limit {
		return w.suspend()
	}
	return nil
}

func (w *response) EncodeRow(r RowEncoder) error {
	if !w.open || w.run.stopped.Load() {
		if err := w.rowErr(len(w.formats)); err != nil {
			return err
		}
	}
	b, at := wire.Begin(w.c.w.Buffer(), wire.TypeDataRow)
	b = binary.BigEndian.AppendUint16(b, uint16(len(w.formats)))
	for i := range w.formats {
		pos := len(b)
		b = append(b, 0, 0, 0, 0)
		out, ok := r.AppendColumn(b, i)
		if len(out) < len(b) {
			return fmt.Errorf("pgserver: AppendColumn(%d) returned less than it was given", i)
		}
		b = closeValue(out, pos, !ok)
	}
	return w.sent(b, at)
}

// closeValue writes the length of the value that begins behind pos.
func closeValue(b []byte, pos int, null bool) []byte {
	if null {
		b = append(b[:pos], 0xff, 0xff, 0xff, 0xff)
		return b
	}
	binary.BigEndian.PutUint32(b[pos:], uint32(len(b)-pos-4))
	return b
}

// sent ends a row's message and gives it to the writer.
func (w *response) sent(b []byte, at int) error {
	b, err := wire.End(b, at)
	if err != nil {
		return err
	}
	if err := w.c.w.Commit(b); err != nil {
		return err
	}
	if w.rows++; w.rows == w.limit {
		return w.suspend()
	}
	return nil
}

func (w *response) Complete(tag string) error {
	switch {
	case w.silent:
		return ErrPortalClosed
	case w.describing:
		return ErrDescribeOnly
	case w.extended && w.results > 0:
		return errors.New("pgserver: a prepared statement has one result only")
	}
	if err := w.drain(); err != nil {
		return err
	}
	if err := w.c.w.Send(&wire.CommandComplete{Tag: tag}); err != nil {
		return err
	}
	w.open = false
	w.results++
	w.c.sess.follow(tag, w.q.SQL)
	return nil
}

// finish completes what the handler left open.
func (w *response) finish() error {
	if err := w.drain(); err != nil {
		return err
	}
	switch {
	case w.open:
		return w.Complete(fmt.Sprintf("SELECT %d", w.rows))
	case w.results > 0:
		return nil
	case w.copied:
		return w.Complete("COPY 0")
	}
	return w.Complete("OK")
}

// drain ends a COPY that the handler did not read to its end.
func (w *response) drain() error {
	if w.both != nil {
		if err := w.both.Close(); err != nil {
			return err
		}
	}
	if w.in == nil {
		return nil
	}
	return w.in.drain()
}

func (w *response) Notice(n *wire.Error) error {
	if w.describing || w.silent {
		return nil
	}
	e := *n
	if !e.Severity.IsNotice() {
		e.Severity = wire.SeverityNotice
	}
	if e.Code == "" {
		e.Code = wire.CodeSuccessfulCompletion
		if e.Severity == wire.SeverityWarning {
			e.Code = wire.CodeWarning
		}
	}
	if err := w.c.w.Send(e.Notice()); err != nil {
		return err
	}
	if e.Severity == wire.SeverityWarning {
		return w.c.w.Flush()
	}
	return nil
}

// follow keeps the transaction's state by command tags, for handlers that are no TxStater.
func (s *Session) follow(tag, sql string) {
	switch tag {
	case "BEGIN", "START TRANSACTION":
		s.tx = wire.TxActive
		return
	case "COMMIT", "ROLLBACK", "PREPARE TRANSACTION":
	default:
		return
	}
	// ROLLBACK TO SAVEPOINT and COMMIT AND CHAIN have the same tags and go on.
	l := lexer{sql: sql}
	previous := sqlToken{}
	for t := l.word(); t.kind != tokEnd; t = l.word() {
		if t.is("to") && tag == "ROLLBACK" || t.is("chain") && !previous.is("no") {
			s.tx = wire.TxActive
			if t.is("chain") {
				s.settle(tag != "ROLLBACK")
			}
			return
		}
		previous = t
	}
	s.tx = wire.TxIdle
	s.settle(tag != "ROLLBACK")
}

// isEmpty reports a query string without a statement.
func isEmpty(sql string) bool {
	return strings.Trim(sql, " \t\r\n\f\v;") == ""
}
