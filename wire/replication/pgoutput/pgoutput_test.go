package pgoutput

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/wire"
)

// stream is a stream that has every message.
func stream() []Message {
	columns := []Column{{Key: true, Name: "id", TypeOID: 23, TypeMod: -1}, {Name: "name", TypeOID: 1043, TypeMod: 14}}
	row := Tuple{TextValue("1"), {Kind: Unchanged}, NullValue(), {Kind: Binary, Data: []byte{0, 1}}, TextValue("")}
	return []Message{
		&LogicalMessage{LSN: 9, Prefix: "p", Content: []byte("out of transaction")},
		&Begin{FinalLSN: 1 << 40, CommitTime: -7, XID: 700},
		&Origin{CommitLSN: 5, Name: "elsewhere"},
		&Type{OID: 16500, Schema: "public", Name: "mood"},
		&Relation{OID: 16400, Schema: "public", Name: "t", Identity: IdentityDefault, Columns: columns},
		&Relation{OID: 16401, Name: "empty", Identity: IdentityFull, Columns: []Column{}},
		&Insert{RelationOID: 16400, New: row},
		&Update{RelationOID: 16400, New: row},
		&Update{RelationOID: 16400, Old: Tuple{TextValue("0"), NullValue()}, New: row},
		&Update{RelationOID: 16401, Old: Tuple{}, Full: true, New: Tuple{}},
		&Delete{RelationOID: 16400, Old: row},
		&Delete{RelationOID: 16400, Old: row, Full: true},
		&Truncate{Cascade: true, RelationOIDs: []uint32{1, 2}},
		&Truncate{RestartIdentity: true, RelationOIDs: []uint32{}},
		&LogicalMessage{Transactional: true, LSN: 10, Content: []byte{}},
		&Commit{CommitLSN: 1 << 40, EndLSN: 1<<40 + 8, CommitTime: 8},
		&StreamStart{XID: 701, First: true},
		&Relation{XID: 701, OID: 16400, Schema: "public", Name: "t", Identity: IdentityIndex, Columns: columns},
		&Type{XID: 701, OID: 1, Name: "x"},
		&Insert{XID: 702, RelationOID: 16400, New: row},
		&Update{XID: 702, RelationOID: 16400, Old: row, Full: true, New: row},
		&Delete{XID: 702, RelationOID: 16400, Old: row},
		&Truncate{XID: 701, Cascade: true, RestartIdentity: true, RelationOIDs: []uint32{16400}},
		&LogicalMessage{XID: 701, Transactional: true, Prefix: "s", Content: []byte("x")},
		&StreamStop{},
		&StreamAbort{XID: 701, SubXID: 702},
		&StreamAbort{XID: 701, SubXID: 701, HasLSN: true, AbortLSN: 3, AbortTime: 4},
		&StreamStart{XID: 703},
		&StreamStop{},
		&StreamCommit{XID: 703, CommitLSN: 1, EndLSN: 2, CommitTime: 3},
		&BeginPrepare{PrepareLSN: 1, EndLSN: 2, PrepareTime: 3, XID: 4, GID: "g"},
		&Prepare{PrepareLSN: 1, EndLSN: 2, PrepareTime: 3, XID: 4, GID: "g"},
		&CommitPrepared{CommitLSN: 1, EndLSN: 2, CommitTime: 3, XID: 4, GID: "g"},
		&RollbackPrepared{PrepareEndLSN: 1, EndLSN: 2, PrepareTime: 3, RollbackTime: 4, XID: 5, GID: "g"},
		&StreamPrepare{PrepareLSN: 1, EndLSN: 2, PrepareTime: 3, XID: 4, GID: ""},
	}
}

func TestRoundTrip(t *testing.T) {
	var d Decoder
	for _, m := range stream() {
		b := m.AppendTo([]byte("prefix"))[len("prefix"):]
		before := d
		got, err := d.Decode(b)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%T:\n%s", m, diff)
		}
		// Every shorter body is refused, but for StreamAbort's, which has two lengths.
		for n := range len(b) {
			d := before
			_, err := d.Decode(b[:n])
			if _, abort := m.(*StreamAbort); abort && n == 9 {
				continue
			}
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != wire.CodeProtocolViolation {
				t.Errorf("%T: %d of %d bytes: %v", m, n, len(b), err)
			}
		}
		d2 := before
		if _, err := d2.Decode(append(b, 0)); err == nil {
			t.Errorf("%T: a byte too many is accepted", m)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, data := range []string{
		"", "?", "E", "I\x00\x00\x00\x01O\x00\x00", "D\x00\x00\x00\x01N\x00\x00", "I\x00\x00\x00\x01N\x00\x01x",
		"I\x00\x00\x00\x01N\xff\xff", "I\x00\x00\x00\x01N\x00\x01t\xff\xff\xff\xff", "T\xff\xff\xff\xff\x00",
		"R\x00\x00\x00\x01\x00\x00d\xff\xff",
	} {
		if m, err := new(Decoder).Decode([]byte(data)); err == nil {
			t.Errorf("%q is accepted as %+v", data, m)
		}
	}
	for _, m := range []Message{
		&Origin{Name: "a\x00b"},
		&Relation{Columns: make([]Column, 65536)},
		&Insert{New: Tuple{{}}},
	} {
		var e *wire.EncodeError
		if b, err := Append([]byte("x"), m); !errors.As(err, &e) || string(b) != "x" {
			t.Errorf("%T: %q, %v", m, b, err)
		}
	}
}

// FuzzDecode decodes what it is given, in and out of a segment. What is accepted comes out
// the same when it is encoded and decoded again.
func FuzzDecode(f *testing.F) {
	streaming := false
	for _, m := range stream() {
		f.Add(streaming, m.AppendTo(nil))
		switch m.(type) {
		case *StreamStart:
			streaming = true
		case *StreamStop:
			streaming = false
		}
	}
	f.Fuzz(func(t *testing.T, streaming bool, data []byte) {
		m, err := (&Decoder{streaming: streaming}).Decode(data)
		if err != nil {
			return
		}
		b, err := Append(nil, m)
		if err != nil {
			t.Fatalf("%T: decoded but not encoded: %v", m, err)
		}
		again, err := (&Decoder{streaming: streaming}).Decode(b)
		if err != nil {
			t.Fatalf("%T: encoded but not decoded: %v", m, err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("%T:\n%s", m, diff)
		}
		if !bytes.Equal(again.AppendTo(nil), b) {
			t.Errorf("%T: encoded again it differs", m)
		}
	})
}

func BenchmarkInsert(b *testing.B) {
	m := &Insert{RelationOID: 16400, New: Tuple{TextValue("12345"), TextValue("some text of a row"), NullValue(), TextValue("t")}}
	buf := m.AppendTo(nil)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = m.AppendTo(buf[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		var d Decoder
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Decode(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
