package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// A counter counts writes and their sizes.
type counter struct {
	bytes.Buffer
	writes int
	most   int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	c.most = max(c.most, len(p))
	return c.Buffer.Write(p)
}

// TestForwardStreams forwards a message of 10 MiB between two small ones by its header and
// chunks; neither end may ever hold it.
func TestForwardStreams(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), 1<<20)
	stream := (&Query{SQL: "copy t from stdin"}).AppendTo(nil)
	stream = (&CopyData{Data: big}).AppendTo(stream)
	stream = (&CopyDone{}).AppendTo(stream)
	out := &counter{}
	r, w := NewReader(&chunked{b: stream, size: 8192}, Frontend, 0), NewWriter(out)
	for {
		h, err := r.ReadHeader()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if err := r.CopyBody(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), stream) {
		t.Error("what came out is not what went in")
	}
	if len(r.buf) > maxReadBuffer || out.most > keepWriteBuffer {
		t.Errorf("the reader held %d bytes, the writer %d", len(r.buf), out.most)
	}
}

func TestWriterBuffers(t *testing.T) {
	out := &counter{}
	w := NewWriter(out)
	row := &DataRow{Values: [][]byte{make([]byte, 100)}}
	for range 1000 {
		if err := w.Send(row); err != nil {
			t.Fatal(err)
		}
	}
	if out.writes != 1 || w.Buffered() == 0 {
		t.Errorf("%d writes for 111 kB, %d bytes wait", out.writes, w.Buffered())
	}
	// A long raw message goes past the buffer, in order.
	long := (&CopyData{Data: make([]byte, 1<<20)}).AppendTo(nil)
	if err := w.WriteRaw(long); err != nil {
		t.Fatal(err)
	}
	if out.writes != 3 || w.Buffered() != 0 || out.most != len(long) {
		t.Errorf("%d writes, the longest of %d; %d bytes wait", out.writes, out.most, w.Buffered())
	}
}

func TestWriterBodies(t *testing.T) {
	w := NewWriter(io.Discard)
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a body without a header was written")
	}
	if err := w.WriteHeader(Header{Type: TypeCopyData, Len: 3}); err != nil {
		t.Fatal(err)
	}
	if err := w.Send(&Sync{}); err == nil {
		t.Error("a message was sent inside another one")
	}
	if _, err := w.Write([]byte("1234")); err == nil {
		t.Error("more than announced was written")
	}
	if _, err := w.Write([]byte("123")); err != nil {
		t.Error(err)
	}
	if err := w.Send(&Sync{}); err != nil {
		t.Error(err)
	}
}

func TestWriterKeepsItsError(t *testing.T) {
	broken := errors.New("broken")
	w := NewWriter(writerFunc(func([]byte) (int, error) { return 0, broken }))
	if err := w.Send(&Sync{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Flush(); err != broken {
			t.Errorf("Flush: %v", err)
		}
	}
	if err := w.Send(&Sync{}); err != broken {
		t.Errorf("Send: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestReaderHeaderMode(t *testing.T) {
	stream := (&Query{SQL: "select 1"}).AppendTo(nil)
	stream = (&CopyData{Data: []byte("abc")}).AppendTo(stream)
	stream = (&Sync{}).AppendTo(stream)
	r := NewReader(&chunked{b: stream, size: 4}, Frontend, 0)
	h, err := r.ReadHeader()
	if err != nil || h != (Header{Type: TypeQuery, Len: 9}) {
		t.Fatal(h, err)
	}
	if _, err := r.ReadFrame(); err == nil {
		t.Error("the next message was read before the body of this one")
	}
	if b, err := r.ReadBody(); err != nil || string(b) != "select 1\x00" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := r.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if err := r.Discard(); err != nil {
		t.Fatal(err)
	}
	if f, err := r.ReadFrame(); err != nil || f.Type != TypeSync || len(f.Body) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestPeekAndDetach(t *testing.T) {
	r := NewReader(bytes.NewReader([]byte("\x16\x03\x01 client hello")), Frontend, 0)
	b, err := r.Peek(1)
	if err != nil || b[0] != 0x16 || r.Buffered() != 16 {
		t.Fatalf("%q, %v, %d buffered", b, err, r.Buffered())
	}
	if b := r.Detach(); string(b) != "\x16\x03\x01 client hello" || r.Buffered() != 0 {
		t.Errorf("detached %q", b)
	}
	if _, err := r.Peek(minReadBuffer + 1); err == nil {
		t.Error("a peek that long succeeded")
	}
}
