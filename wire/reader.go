package wire

import (
	"errors"
	"fmt"
	"io"
)

// ErrUnencryptedData reports bytes that came behind an SSLRequest or GSSENCRequest, or
// behind the answer to one, before encryption began. Somebody on the way may have put
// them there (CVE-2021-23214, CVE-2021-23222).
var ErrUnencryptedData = errors.New("received unencrypted data after encryption request")

// Sizes of the reader's buffer.
const (
	minReadBuffer = 4 << 10
	maxReadBuffer = 64 << 10 // how far it grows for speed's sake, rather than for one message
)

// A Frame is one whole message.
type Frame struct {
	Type Type   // 0 for a startup packet
	Body []byte // what follows the length word
	Raw  []byte // the message as it came: header and body
}

// A Reader reads messages without decoding them.
//
// Its buffer begins with 4 KiB and grows with what has been received, never with what a
// header announces, so a peer has to send a large message to make it cost memory. It is
// not safe for concurrent use.
type Reader struct {
	framing
	r    io.Reader
	buf  []byte
	from int   // start of what is not consumed
	to   int   // end of what was received
	got  int   // what the last read returned
	body int   // bytes of the body of the message begun by ReadHeader that are to come
	err  error // framing is lost
}

// NewReader returns a reader of what side from sends to r. Messages are limited as
// PostgreSQL limits them, and to maxMessage bytes, unless that is 0.
func NewReader(r io.Reader, from Side, maxMessage int) *Reader {
	return &Reader{framing: newFraming(from, maxMessage), r: r}
}

// Reset makes the reader read from r, which is used when a connection turns to TLS. Bytes
// that came before and were not consumed would be taken for encrypted ones: if there are
// any, the error is [ErrUnencryptedData] and the connection must be closed.
func (r *Reader) Reset(src io.Reader) error {
	if r.Buffered() > 0 || r.body > 0 {
		return ErrUnencryptedData
	}
	r.r, r.err = src, nil
	return nil
}

// SetMaxMessage changes the limit that NewReader was given, for instance when a client
// has been authenticated.
func (r *Reader) SetMaxMessage(n int) { r.framing = newFraming(r.framing.from, n) }

// Lend gives the reader memory for what it reads first, so that a short exchange takes none of its
// own. It must come before the first read, and b is the reader's for as long as that is used.
func (r *Reader) Lend(b []byte) {
	if r.buf == nil {
		r.buf = b
	}
}

// Buffered returns the number of bytes that were received and not consumed.
func (r *Reader) Buffered() int { return r.to - r.from }

// Peek returns the next n bytes, at most 4,096, without consuming them. They are valid
// until the next call. It is how a server tells a TLS ClientHello (first byte 0x16) from
// a startup packet.
func (r *Reader) Peek(n int) ([]byte, error) {
	if n > minReadBuffer {
		return nil, fmt.Errorf("peek %d bytes: the limit is %d", n, minReadBuffer)
	}
	if err := r.fill(n); err != nil {
		return nil, err
	}
	return r.buf[r.from : r.from+n], nil
}

// Detach returns the bytes that were received and not consumed, which the reader then
// forgets. It serves handing a connection to another reader.
func (r *Reader) Detach() []byte {
	b := append([]byte(nil), r.buf[r.from:r.to]...)
	r.buf, r.from, r.to, r.body = nil, 0, 0, 0
	return b
}

// ReadStartup reads a startup packet. The frame is valid until the next call. Errors are
// as those of ReadFrame.
func (r *Reader) ReadStartup() (Frame, error) {
	if err := r.begin(startupHeaderLen); err != nil {
		return Frame{}, err
	}
	h, err := parseStartup(r.buf[r.from:])
	if err != nil {
		r.err = err
		return Frame{}, err
	}
	return r.frame(h, startupHeaderLen)
}

// ReadFrame reads a message. The frame is valid until the next call.
//
// The error is io.EOF between messages, io.ErrUnexpectedEOF inside one, an [*Error] of
// severity FATAL and code 08P01 when what came is no message or too long a one, after
// which the reader only repeats that error, or else the underlying reader's own.
// After an error of the underlying reader, such as a deadline, reading may go on.
func (r *Reader) ReadFrame() (Frame, error) { return r.ReadFrameLimit(0) }

// ReadFrameLimit is ReadFrame with a limit on the message's length word instead of the
// type's own; see [MaxSASLMessage].
func (r *Reader) ReadFrameLimit(limit int) (Frame, error) {
	if b := r.buf[r.from:r.to]; len(b) >= HeaderLen && r.err == nil && r.body == 0 {
		// Nearly every message of a busy stream is in the buffer already.
		h, err := r.parse(b, limit)
		if n := HeaderLen + h.Len; err == nil && n <= len(b) {
			r.from += n
			return Frame{Type: h.Type, Body: b[HeaderLen:n:n], Raw: b[:n:n]}, nil
		}
	}
	h, err := r.header(limit)
	if err != nil {
		return Frame{}, err
	}
	return r.frame(h, HeaderLen)
}

// ReadHeader reads a message's header only. The caller then calls ReadBody, CopyBody or
// Discard; what is left of the body at the next ReadHeader or ReadFrame is an error.
func (r *Reader) ReadHeader() (Header, error) {
	h, err := r.header(0)
	if err != nil {
		return Header{}, err
	}
	r.from += HeaderLen
	r.body = h.Len
	return h, nil
}

// ReadBody returns what is left of the body of the message that ReadHeader began. It is
// valid until the next call.
func (r *Reader) ReadBody() ([]byte, error) {
	if err := r.fill(r.body); err != nil {
		return nil, inside(err)
	}
	b := r.buf[r.from : r.from+r.body : r.from+r.body]
	r.from += r.body
	r.body = 0
	return b, nil
}

// ReadChunk returns some bytes of the body of the message that ReadHeader began, as they
// are in the buffer or come with one read, and io.EOF at its end. They are valid until
// the next call.
func (r *Reader) ReadChunk() ([]byte, error) {
	if r.body == 0 {
		return nil, io.EOF
	}
	if err := r.fill(1); err != nil {
		return nil, inside(err)
	}
	n := min(r.body, r.Buffered())
	b := r.buf[r.from : r.from+n : r.from+n]
	r.from += n
	r.body -= n
	return b, nil
}

// CopyBody writes what is left of the body of the message that ReadHeader began to w as it
// comes, without ever holding it whole.
func (r *Reader) CopyBody(w io.Writer) error {
	for {
		b, err := r.ReadChunk()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
}

// Discard passes over what is left of the body of the message that ReadHeader began.
func (r *Reader) Discard() error { return r.CopyBody(io.Discard) }

// header makes sure that a whole header is at r.from and parses it.
func (r *Reader) header(limit int) (Header, error) {
	// An unknown type is an error at once, without waiting for four more bytes.
	if err := r.begin(1); err != nil {
		return Header{}, err
	}
	if err := r.checkType(Type(r.buf[r.from])); err != nil {
		r.err = err
		return Header{}, err
	}
	if err := r.fill(HeaderLen); err != nil {
		return Header{}, inside(err)
	}
	h, err := r.parse(r.buf[r.from:], limit)
	if err != nil {
		r.err = err
	}
	return h, err
}

// begin waits for the first n bytes of a message.
func (r *Reader) begin(n int) error {
	if r.err != nil {
		return r.err
	}
	if r.body > 0 {
		return fmt.Errorf("read message: %d bytes of the last one's body were not read", r.body)
	}
	err := r.fill(n)
	if r.Buffered() > 0 {
		err = inside(err)
	}
	return err
}

// frame reads the body that h announces; the header is still at r.from, so that a read
// that fails by a deadline can be repeated.
func (r *Reader) frame(h Header, header int) (Frame, error) {
	n := header + h.Len
	if err := r.fill(n); err != nil {
		return Frame{}, inside(err)
	}
	raw := r.buf[r.from : r.from+n : r.from+n]
	r.from += n
	return Frame{Type: h.Type, Body: raw[header:], Raw: raw}, nil
}

// fill reads until n bytes are in the buffer behind r.from.
func (r *Reader) fill(n int) error {
	for empty := 0; r.Buffered() < n; {
		r.makeRoom(n)
		got, err := r.r.Read(r.buf[r.to:])
		r.to += got
		r.got = got
		if err != nil {
			if r.Buffered() >= n {
				return nil // a lasting error comes back with the next read
			}
			return err
		}
		if got > 0 {
			empty = 0
		} else if empty++; empty == 100 {
			return io.ErrNoProgress
		}
	}
	return nil
}

// makeRoom makes sure that at least one byte can be read, without growing the buffer to
// more than twice what is in it.
func (r *Reader) makeRoom(n int) {
	if r.from == r.to {
		r.from, r.to = 0, 0
		switch size := len(r.buf); {
		case r.got == size && 0 < size && size < maxReadBuffer:
			// The last read filled the buffer: more is likely waiting.
			r.buf = make([]byte, 2*size)
		case size > maxReadBuffer || size > minReadBuffer && r.got < size/8:
			// A connection that rests, or talks little, costs little.
			r.buf = nil
		}
	}
	if r.to < len(r.buf) && (r.from == 0 || r.from+n <= len(r.buf)) {
		return
	}
	have := r.Buffered()
	if have < len(r.buf) {
		// There is room in front of what is there.
		copy(r.buf, r.buf[r.from:r.to])
		r.from, r.to = 0, have
		return
	}
	size := max(minReadBuffer, min(2*len(r.buf), n))
	buf := make([]byte, size)
	copy(buf, r.buf[r.from:r.to])
	r.buf, r.from, r.to = buf, 0, have
}

// inside turns an end of file inside a message into what it is.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
