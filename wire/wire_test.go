package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestReaderAndScannerAgree sends the same stream, in pieces of every size, through both
// and expects the messages that were written.
func TestReaderAndScannerAgree(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 20000)
	want := []FrontendMessage{
		&Parse{Name: "s", SQL: "select $1", ParamOIDs: []uint32{23}},
		&Bind{Statement: "s", Params: [][]byte{[]byte("1"), nil, long}},
		&Describe{Kind: PortalKind},
		&Execute{MaxRows: 10},
		&CopyData{Data: long},
		&Sync{},
		&Terminate{},
	}
	stream := (&StartupMessage{Version: Version30, Params: []Param{{"user", "u"}}}).AppendTo(nil)
	startup := len(stream)
	var ends []int
	for _, m := range want {
		stream = m.AppendTo(stream)
		ends = append(ends, len(stream))
	}

	for size := 1; size < 40; size++ {
		r := NewReader(&chunked{b: stream, size: size}, Frontend, 0)
		f, err := r.ReadStartup()
		if err != nil || len(f.Raw) != startup {
			t.Fatalf("size %d: ReadStartup: %d bytes, %v", size, len(f.Raw), err)
		}
		at := startup
		for i := range want {
			f, err := r.ReadFrame()
			if err != nil {
				t.Fatalf("size %d: message %d: %v", size, i, err)
			}
			if !bytes.Equal(f.Raw, stream[at:ends[i]]) {
				t.Fatalf("size %d: message %d is not what was sent", size, i)
			}
			at = ends[i]
		}
		if _, err := r.ReadFrame(); err != io.EOF {
			t.Fatalf("size %d: at the end: %v, want EOF", size, err)
		}

		s := NewScanner(Frontend, 0)
		s.ExpectStartup()
		at, n := 0, -1
		var got []byte
		for at < len(stream) {
			chunk := stream[at:min(at+size, len(stream))]
			at += len(chunk)
			for len(chunk) > 0 {
				var span Span
				span, chunk, err = s.Next(chunk)
				if err != nil {
					t.Fatalf("size %d: %v", size, err)
				}
				got = append(got, span.Bytes...)
				if span.End {
					want := startup
					if n >= 0 {
						want = ends[n]
					}
					if len(got) != want {
						t.Fatalf("size %d: message %d ends at %d, want %d", size, n, len(got), want)
					}
					n++
				}
			}
		}
		if !bytes.Equal(got, stream) || n != len(want) || !s.Between() {
			t.Fatalf("size %d: scanner gave %d messages, %d bytes", size, n, len(got))
		}
	}
}

// chunked reads at most size bytes at a time.
type chunked struct {
	b    []byte
	size int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.b[:min(c.size, len(c.b))])
	c.b = c.b[n:]
	return n, nil
}

func TestReaderRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want string
	}{
		{"unknown type", "!", "invalid frontend message type 33"},
		{"negative length", "Q\xff\xff\xff\xfb", "invalid message length"},
		{"length 3", "Q\x00\x00\x00\x03", "invalid message length"},
		{"2 GiB", "Q\x7f\xff\xff\xff", "invalid message length"},
		{"1 GiB-1", "Q\x3f\xff\xff\xff", "invalid message length"},
		{"long Sync", "S\x00\x00\x27\x11", "invalid message length"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(bytes.NewReader([]byte(tt.in)), Frontend, 0)
			for range 2 { // the error stays
				_, err := r.ReadFrame()
				var e *Error
				if !errors.As(err, &e) || e.Message != tt.want || e.Severity != SeverityFatal || e.Code != CodeProtocolViolation {
					t.Fatalf("got %v, want FATAL %q", err, tt.want)
				}
			}
		})
	}
	r := NewReader(bytes.NewReader([]byte{0, 0, 0x27, 0x15}), Frontend, 0)
	if _, err := r.ReadStartup(); err == nil {
		t.Error("a startup packet of 10,001 bytes was accepted")
	}
}

// TestReaderBelievesNoHeader announces 1 GiB and sends a little.
func TestReaderBelievesNoHeader(t *testing.T) {
	in := append([]byte("Q\x3f\xff\xff\xfe"), make([]byte, 100_000)...)
	r := NewReader(bytes.NewReader(in), Frontend, 0)
	if _, err := r.ReadFrame(); err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	if len(r.buf) > 4*len(in) {
		t.Errorf("the buffer has %d bytes for %d received", len(r.buf), len(in))
	}
}

// TestReaderResumes interrupts every read by a timeout, as deadlines do.
func TestReaderResumes(t *testing.T) {
	stream := (&Query{SQL: "select 1"}).AppendTo(nil)
	stream = (&Sync{}).AppendTo(stream)
	r := NewReader(iotest.TimeoutReader(&chunked{b: stream, size: 3}), Frontend, 0)
	var got []byte
	for timeouts := 0; len(got) < len(stream); {
		f, err := r.ReadFrame()
		if err == iotest.ErrTimeout && timeouts == 0 {
			timeouts++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Raw...)
	}
	if !bytes.Equal(got, stream) {
		t.Errorf("got %q, want %q", got, stream)
	}
}

func TestResetRefusesInjectedBytes(t *testing.T) {
	in := (&SSLRequest{}).AppendTo(nil)
	in = (&Query{SQL: "select 'injected'"}).AppendTo(in)
	r := NewReader(bytes.NewReader(in), Frontend, 0)
	if _, err := r.ReadStartup(); err != nil {
		t.Fatal(err)
	}
	if err := r.Reset(bytes.NewReader(nil)); err != ErrUnencryptedData {
		t.Errorf("Reset with %d bytes buffered: %v", r.Buffered(), err)
	}
}
