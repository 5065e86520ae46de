package replication

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A backup is one run of BASE_BACKUP. The server answers with a row that has the start, a
// row for each tablespace, the archives, and a row that has the end.
type backup struct {
	c      *Conn
	sink   Sink
	opts   BaseBackupOptions
	result BackupResult
	total  int64
	at     int   // number of the tablespace being taken
	lost   error // what ended the stream of archives too early
}

func (b *backup) run(command string) error {
	if b.opts.WAL && b.c.version >= 100000 {
		drop, err := b.holdWAL()
		if err != nil {
			return err
		}
		defer drop()
	}
	if err := b.c.send(&wire.Query{SQL: command}); err != nil {
		return err
	}
	if err := b.header(); err != nil {
		return err
	}
	if err := b.sink.Begin(b.result.Tablespaces); err != nil {
		return b.c.breakWith(err) // the rest of the answer is still to come
	}
	archives := b.archivesTyped
	if b.c.version < 150000 {
		archives = b.archivesPlain
	}
	if err := archives(); err != nil {
		return b.c.breakWith(err)
	}
	return b.trailer()
}

// holdWAL keeps the server from recycling the log that the backup will need at its end,
// however long it takes, by a slot that lives no longer than the connection. A server
// without a slot to spare gets by without it, as before version 10: then the backup fails
// if the log is gone at its end.
func (b *backup) holdWAL() (drop func(), err error) {
	name := "pgx_dev_backup_" + strconv.FormatUint(uint64(b.c.pid), 10)
	_, err = b.c.query(createSlotCommand(b.c.version, name, SlotOptions{Temporary: true, ReserveWAL: true}))
	var e *wire.Error
	switch {
	case err == nil:
		return func() {
			if b.c.err == nil {
				// It goes with the connection in any case.
				_, _ = b.c.query("DROP_REPLICATION_SLOT " + QuoteIdent(name))
			}
		}, nil
	case errors.As(err, &e) && b.c.err == nil &&
		(e.Code == wire.CodeConfigurationLimit || e.Code == wire.CodeObjectNotInPrerequisite):
		return func() {}, nil
	}
	return nil, err
}

func (b *backup) header() error {
	start, ended, err := b.c.result()
	if err != nil {
		return err
	}
	if ended || len(start.Rows) != 1 || len(start.Rows[0]) < 1 {
		return b.c.breakWith(errors.New("the server does not say where the backup starts"))
	}
	row := start.Rows[0]
	if b.result.Start, err = wire.ParseLSN(string(row[0])); err != nil {
		return b.c.breakWith(err)
	}
	if len(row) > 1 { // since 9.3
		if b.result.Timeline, err = parseTimeline(row[1]); err != nil {
			return b.c.breakWith(err)
		}
	}

	list, ended, err := b.c.result()
	if err != nil {
		return err
	}
	if ended || len(list.Rows) == 0 {
		return b.c.breakWith(errors.New("the server does not say which tablespaces there are"))
	}
	for _, row := range list.Rows {
		t, err := parseTablespace(row)
		if err != nil {
			return b.c.breakWith(err)
		}
		b.total += t.Size
		b.result.Tablespaces = append(b.result.Tablespaces, t)
	}
	return nil
}

// parseTablespace reads a row of OID, location and size in kB; all may be NULL.
func parseTablespace(row [][]byte) (Tablespace, error) {
	if len(row) < 3 {
		return Tablespace{}, fmt.Errorf("a tablespace is described by %d columns, not 3", len(row))
	}
	t := Tablespace{Location: string(row[1])}
	if row[0] != nil {
		oid, err := strconv.ParseUint(string(row[0]), 10, 32)
		if err != nil || oid == 0 {
			return Tablespace{}, fmt.Errorf("%.20q is no tablespace's OID", row[0])
		}
		t.OID = uint32(oid)
	}
	if row[2] != nil {
		kb, err := strconv.ParseInt(string(row[2]), 10, 53)
		if err != nil {
			return Tablespace{}, fmt.Errorf("%.20q is no tablespace's size", row[2])
		}
		t.Size = kb * 1024
	}
	return t, nil
}

// archivesPlain takes the form that servers before 15 send: one COPY for each tablespace,
// in the order of the list, and one for the manifest.
func (b *backup) archivesPlain() error {
	for i, t := range b.result.Tablespaces {
		b.at = i + 1
		r := &plainArchive{b: b, tail: make([]byte, tarTailLen)}
		if err := b.beginCopy(); err != nil {
			return err
		}
		if err := b.take(r, func() error { return b.sink.Archive(t, r) }); err != nil {
			return err
		}
	}
	if !b.opts.Manifest {
		return nil
	}
	r := &plainArchive{b: b}
	if err := b.beginCopy(); err != nil {
		return err
	}
	return b.take(r, func() error { return b.sink.Manifest(r) })
}

// archivesTyped takes the form that servers since 15 send: one COPY whose messages say what
// they are.
func (b *backup) archivesTyped() error {
	if err := b.beginCopy(); err != nil {
		return err
	}
	r := &typedArchive{b: b}
	for {
		kind, archive, err := r.next()
		if err != nil {
			return err
		}
		switch kind {
		case 0:
			return nil
		case 'm':
			if !b.opts.Manifest {
				return b.c.unexpected(wire.TypeCopyData, "reading archives: a manifest that was not asked for")
			}
			err = b.take(r, func() error { return b.sink.Manifest(r) })
		case 'n':
			t, ok := b.tablespace(archive)
			if !ok {
				return fmt.Errorf("the server sends an archive %.40q that is no tablespace's", archive)
			}
			b.at++
			err = b.take(r, func() error { return b.sink.Archive(t, r) })
		}
		if err != nil {
			return err
		}
	}
}

func (b *backup) tablespace(archive string) (Tablespace, bool) {
	for _, t := range b.result.Tablespaces {
		if t.Archive() == archive {
			return t, true
		}
	}
	return Tablespace{}, false
}

// take runs f, which is one of the sink's methods, and then reads what it has left of r.
func (b *backup) take(r io.Reader, f func() error) error {
	if err := f(); err != nil {
		if b.lost != nil {
			return b.lost // not the sink's fault
		}
		return err
	}
	var rest [4096]byte
	for {
		if _, err := r.Read(rest[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// beginCopy reads up to CopyOutResponse.
func (b *backup) beginCopy() error {
	t, body, err := b.c.receive()
	switch {
	case err != nil:
		return err
	case t == wire.TypeErrorResponse:
		return b.c.failed(body)
	case t != wire.TypeCopyOutResponse:
		return b.c.unexpected(t, "waiting for an archive")
	}
	return nil
}

// copyData reads the next CopyData; at CopyDone it returns io.EOF.
func (b *backup) copyData() ([]byte, error) {
	t, body, err := b.c.receive()
	switch {
	case err != nil:
	case t == wire.TypeCopyData:
		return body, nil
	case t == wire.TypeCopyDone:
		return nil, io.EOF
	case t == wire.TypeErrorResponse:
		err = b.c.failed(body)
	default:
		err = b.c.unexpected(t, "reading an archive")
	}
	b.lost = err
	return nil, err
}

func (b *backup) took(n int) {
	b.result.Bytes += int64(n)
	if b.opts.Progress != nil {
		b.opts.Progress(Progress{
			Bytes: b.result.Bytes, Total: b.total,
			Tablespace: min(b.at, len(b.result.Tablespaces)), Tablespaces: len(b.result.Tablespaces),
		})
	}
}

// trailer reads the end position and the end of the command.
func (b *backup) trailer() error {
	stop, ended, err := b.c.result()
	if err != nil {
		return err
	}
	if ended || len(stop.Rows) != 1 || len(stop.Rows[0]) < 1 {
		return b.c.breakWith(errors.New("the server does not say where the backup ends"))
	}
	if b.result.End, err = wire.ParseLSN(string(stop.Rows[0][0])); err != nil {
		return b.c.breakWith(err)
	}
	// What comes now may still be an error, for instance of checksums that were wrong.
	e, err := b.c.untilReady()
	if err != nil {
		return err
	}
	if e != nil {
		return e
	}
	return nil
}
