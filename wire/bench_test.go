package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Each benchmark has pgproto3 beside ours, and a hand-written append where that is the
// floor. Compare within one run.

var rowValues = [][]byte{[]byte("12345"), []byte("some text of a row"), nil, []byte("2026-11-20 12:00:00"), []byte("t")}

func BenchmarkWireEncodeDataRow(b *testing.B) {
	b.Run("wire", func(b *testing.B) {
		m := &DataRow{Values: rowValues}
		buf := make([]byte, 0, 4096)
		b.ReportAllocs()
		for b.Loop() {
			buf = m.AppendTo(buf[:0])
		}
		b.SetBytes(int64(len(buf)))
	})
	b.Run("in place", func(b *testing.B) { // as a server does that has values, not a list of them
		buf := make([]byte, 0, 4096)
		b.ReportAllocs()
		for b.Loop() {
			var at int
			buf, at = Begin(buf[:0], TypeDataRow)
			buf = append(buf, 0, byte(len(rowValues)))
			for _, v := range rowValues {
				buf = AppendValue(buf, v)
			}
			var err error
			if buf, err = End(buf, at); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(buf)))
	})
	b.Run("by hand", func(b *testing.B) {
		buf := make([]byte, 0, 4096)
		b.ReportAllocs()
		for b.Loop() {
			buf = rowByHand(buf[:0])
		}
		b.SetBytes(int64(len(buf)))
	})
	b.Run("pgproto3", func(b *testing.B) {
		m := &pgproto3.DataRow{Values: rowValues}
		buf := make([]byte, 0, 4096)
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if buf, err = m.Encode(buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(buf)))
	})
}

// rowByHand is the least that any encoder has to do.
func rowByHand(b []byte) []byte {
	at := len(b)
	b = append(b, 'D', 0, 0, 0, 0, 0, byte(len(rowValues)))
	for _, v := range rowValues {
		if v == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-at-1))
	return b
}

func BenchmarkWireDecode(b *testing.B) {
	bind := &Bind{
		Statement: "stmtcache_1234", ParamFormats: []Format{Binary, Text}, ResultFormats: []Format{Binary},
		Params: [][]byte{{0, 0, 0, 1}, []byte("a text parameter")},
	}
	messages := []struct {
		m      Message
		theirs theirs
	}{
		{&DataRow{Values: rowValues}, &pgproto3.DataRow{}},
		{bind, &pgproto3.Bind{}},
		{&CopyData{Data: bytes.Repeat([]byte("x"), 1000)}, &pgproto3.CopyData{}},
		{&Query{SQL: "select id, name from account where id = 1"}, &pgproto3.Query{}},
		{&ReadyForQuery{TxStatus: TxIdle}, &pgproto3.ReadyForQuery{}},
	}
	for _, tt := range messages {
		raw := tt.m.AppendTo(nil)
		body := raw[HeaderLen:]
		name := Frontend.Name(Type(raw[0]))
		if _, ok := tt.m.(BackendMessage); ok {
			name = Backend.Name(Type(raw[0]))
		}
		b.Run(name+"/wire", func(b *testing.B) {
			m := newOf(tt.m)
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/pgproto3", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := tt.theirs.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWireSendRows sends 10,000 rows to nowhere, in blocks of 64 KiB.
func BenchmarkWireSendRows(b *testing.B) {
	const rows = 10_000
	report := func(b *testing.B) { b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s") }
	b.Run("wire", func(b *testing.B) {
		w := NewWriter(io.Discard)
		m := &DataRow{Values: rowValues}
		b.ReportAllocs()
		for b.Loop() {
			for range rows {
				if err := w.Send(m); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	b.Run("in place", func(b *testing.B) {
		w := NewWriter(io.Discard)
		b.ReportAllocs()
		for b.Loop() {
			for range rows {
				buf, at := Begin(w.Buffer(), TypeDataRow)
				buf = append(buf, 0, byte(len(rowValues)))
				for _, v := range rowValues {
					buf = AppendValue(buf, v)
				}
				buf, err := End(buf, at)
				if err != nil {
					b.Fatal(err)
				}
				if err := w.Commit(buf); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	b.Run("by hand", func(b *testing.B) {
		buf := make([]byte, 0, 128<<10)
		b.ReportAllocs()
		for b.Loop() {
			for range rows {
				if buf = rowByHand(buf); len(buf) >= 64<<10 {
					if _, err := io.Discard.Write(buf); err != nil {
						b.Fatal(err)
					}
					buf = buf[:0]
				}
			}
		}
		report(b)
	})
	b.Run("pgproto3", func(b *testing.B) {
		be := pgproto3.NewBackend(bytes.NewReader(nil), io.Discard)
		m := &pgproto3.DataRow{Values: rowValues}
		b.ReportAllocs()
		for b.Loop() {
			for i := range rows {
				be.Send(m)
				if i%600 == 599 {
					if err := be.Flush(); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := be.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
}

// BenchmarkWireReceiveRows reads and decodes 10,000 rows; forward and scan do not decode.
func BenchmarkWireReceiveRows(b *testing.B) {
	const rows = 10_000
	var stream []byte
	for range rows {
		stream = rowByHand(stream)
	}
	report := func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	}
	src := &bytes.Reader{}
	b.Run("wire", func(b *testing.B) {
		r := NewReader(src, Backend, 0)
		var dec BackendDecoder
		b.ReportAllocs()
		for b.Loop() {
			src.Reset(stream)
			for range rows {
				f, err := r.ReadFrame()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := dec.Decode(f.Type, f.Body); err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
	b.Run("forward", func(b *testing.B) {
		r, w := NewReader(src, Backend, 0), NewWriter(io.Discard)
		b.ReportAllocs()
		for b.Loop() {
			src.Reset(stream)
			for range rows {
				f, err := r.ReadFrame()
				if err != nil {
					b.Fatal(err)
				}
				if err := w.WriteRaw(f.Raw); err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
	b.Run("scan", func(b *testing.B) {
		s := NewScanner(Backend, 0)
		b.ReportAllocs()
		for b.Loop() {
			for rest := stream; len(rest) > 0; {
				chunk := rest[:min(len(rest), 64<<10)]
				rest = rest[len(chunk):]
				for len(chunk) > 0 {
					var err error
					if _, chunk, err = s.Next(chunk); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		report(b)
	})
	b.Run("pgproto3", func(b *testing.B) {
		fe := pgproto3.NewFrontend(src, io.Discard)
		b.ReportAllocs()
		for b.Loop() {
			src.Reset(stream)
			for range rows {
				if _, err := fe.Receive(); err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
}

// TestNoAllocations holds what the benchmarks show.
func TestNoAllocations(t *testing.T) {
	row := (&DataRow{Values: rowValues}).AppendTo(nil)
	bind := (&Bind{Portal: "p", Statement: "s", ParamFormats: []Format{Binary}, Params: rowValues}).AppendTo(nil)
	copyData := (&CopyData{Data: row}).AppendTo(nil)
	w := NewWriter(io.Discard)
	var be BackendDecoder
	var fe FrontendDecoder
	m := &DataRow{Values: rowValues}
	tests := map[string]func() error{
		"send a row":      func() error { return w.Send(m) },
		"decode DataRow":  func() error { _, err := be.Decode(TypeDataRow, row[HeaderLen:]); return err },
		"decode CopyData": func() error { _, err := be.Decode(TypeCopyData, copyData[HeaderLen:]); return err },
		"decode Bind":     func() error { _, err := fe.Decode(TypeBind, bind[HeaderLen:]); return err },
	}
	for name, f := range tests {
		n := testing.AllocsPerRun(2000, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
