package wire

import (
	"errors"
	"fmt"
	"io"
)

// Sizes of the writer's buffer.
const (
	flushAt         = 64 << 10  // a buffer this full is written
	keepWriteBuffer = 128 << 10 // a larger one is given up when it is empty
)

// A Writer writes messages, decoded or raw. Nothing is sent before 64 KiB have gathered or
// Flush is called; the buffer grows only as it fills. The first error of the underlying
// writer stays. It is not safe for concurrent use.
type Writer struct {
	w    io.Writer
	buf  []byte
	body int // bytes of the body announced by WriteHeader that are to come
	err  error
	room int // flushAt, or 0 while Commit has more to do than to take the buffer back
}

// NewWriter returns a writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, room: flushAt} }

// Reset makes the writer write to w, which is used when a connection turns to TLS. What
// was not flushed stays and is sent to w; an earlier error is forgotten.
func (w *Writer) Reset(dst io.Writer) {
	w.w, w.err = dst, nil
	w.makeRoom()
}

// makeRoom sets room as body and err have it.
func (w *Writer) makeRoom() {
	if w.room = flushAt; w.err != nil || w.body > 0 {
		w.room = 0
	}
}

// Buffered returns the number of bytes that wait to be sent.
func (w *Writer) Buffered() int { return len(w.buf) }

// Send appends m. An [*EncodeError] leaves the writer as it was; other errors are the
// underlying writer's.
func (w *Writer) Send(m Message) error {
	if err := w.ready(); err != nil {
		return err
	}
	b, err := Append(w.buf, m)
	if err != nil {
		return err
	}
	return w.Commit(b)
}

// Buffer returns the bytes that wait to be sent, for the caller to append whole messages
// to and give the result to Commit. It is the way without any copy for messages built in
// place; see [Begin].
func (w *Writer) Buffer() []byte { return w.buf }

// Commit takes back what Buffer returned with whole messages appended to it, and sends it
// if enough has gathered.
func (w *Writer) Commit(b []byte) error {
	if len(b) >= w.room {
		return w.commit(b) // apart, so that the rest is inlined: it is called for each row
	}
	w.buf = b
	return nil
}

func (w *Writer) commit(b []byte) error {
	if err := w.ready(); err != nil {
		return err
	}
	w.buf = b
	if len(b) < flushAt { // a Writer that NewWriter has not made
		return nil
	}
	return w.Flush()
}

// WriteRaw appends bytes that are whole messages, such as [Frame.Raw], as they are.
func (w *Writer) WriteRaw(raw []byte) error {
	if err := w.ready(); err != nil {
		return err
	}
	_, err := w.write(raw)
	return err
}

// WriteHeader begins a message whose body the caller writes next, in pieces of any size,
// with Write. No other message can begin before all of it has come.
func (w *Writer) WriteHeader(h Header) error {
	if err := w.ready(); err != nil {
		return err
	}
	if h.Len < 0 || h.Len+4 > MaxLargeMessage {
		return &EncodeError{
			Message: fmt.Sprintf("message of type %v", h.Type),
			Reason:  fmt.Sprintf("a body of %d bytes is more than the limit of %d", h.Len, MaxLargeMessage-4),
		}
	}
	w.buf = h.AppendTo(w.buf)
	w.body = h.Len
	w.makeRoom()
	return nil
}

// Write writes a piece of the body that WriteHeader announced. More than was announced is
// an error, and nothing of p is written.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if len(p) > w.body {
		return 0, fmt.Errorf("write message body: %d bytes where %d are left", len(p), w.body)
	}
	n, err := w.write(p)
	w.body -= n
	w.makeRoom()
	return n, err
}

// Flush sends what has gathered.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	if len(w.buf) == 0 {
		return nil
	}
	b := w.buf
	if w.buf = b[:0]; cap(b) > keepWriteBuffer {
		w.buf = nil
	}
	return w.sent(w.w.Write(b))
}

// write appends p, or sends it past the buffer if it is long.
func (w *Writer) write(p []byte) (int, error) {
	if len(p) < flushAt {
		w.buf = append(w.buf, p...)
		if len(w.buf) >= flushAt {
			return len(p), w.Flush()
		}
		return len(p), nil
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	n, err := w.w.Write(p)
	return n, w.sent(n, err)
}

func (w *Writer) sent(_ int, err error) error {
	w.err = err
	w.makeRoom()
	return err
}

// ready reports whether a message can begin.
func (w *Writer) ready() error {
	if w.err == nil && w.body > 0 {
		return errors.New("write message: the body of the one before is incomplete")
	}
	return w.err
}
