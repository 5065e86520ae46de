package wire

// A Scanner finds the messages in a stream of bytes that somebody else reads, in chunks of
// any size. It does no I/O and holds no bytes but those of a header that a chunk ended in,
// so it serves transports that forward bytes as they come, whatever waits for them. It is
// not safe for concurrent use.
//
//	for len(chunk) > 0 {
//		var span wire.Span
//		span, chunk, err = scanner.Next(chunk)
//		…
//	}
type Scanner struct {
	framing
	startup bool
	header  [HeaderLen]byte
	have    int // bytes of the header that have come
	current Header
	offset  int // bytes of the message that have come
}

// A Span is the part of one message that one chunk holds.
type Span struct {
	// Type is the message's type; 0 for a startup packet.
	Type Type
	// Size is the size of the whole message, header and all, or 0 while the header is
	// incomplete. From the span that completes it on, [Scanner.Header] has the header.
	Size int
	// Offset is how much of the message came before this span.
	Offset int
	// Bytes are the bytes of the message in the chunk: header bytes and body.
	Bytes []byte
	// Body are those of Bytes that belong to the body.
	Body []byte
	// End says that the message ends with this span.
	End bool
}

// Whole reports whether the span is a whole message.
func (s *Span) Whole() bool { return s.End && s.Offset == 0 }

// NewScanner returns a scanner for what side from sends. Messages are limited as
// PostgreSQL limits them, and to maxMessage bytes, unless that is 0.
func NewScanner(from Side, maxMessage int) *Scanner {
	s := &Scanner{}
	s.Init(from, maxMessage)
	return s
}

// Init makes *s as NewScanner would return it.
func (s *Scanner) Init(from Side, maxMessage int) {
	*s = Scanner{framing: newFraming(from, maxMessage)}
}

func newFraming(from Side, maxMessage int) framing {
	if maxMessage <= 0 || maxMessage > MaxLargeMessage {
		maxMessage = MaxLargeMessage
	}
	return framing{from: from, max: maxMessage}
}

// ExpectStartup says that the next message is a startup packet. It is called between
// messages: before the first one, and again after each SSLRequest or GSSENCRequest.
func (s *Scanner) ExpectStartup() { s.startup = true }

// Between reports whether the scanner is between two messages.
func (s *Scanner) Between() bool { return s.offset == 0 }

// Header returns the header bytes of the current message, as far as they have come. They
// are valid until the next call of Next.
func (s *Scanner) Header() []byte { return s.header[:s.have] }

// Next returns the first message, or part of one, in chunk, and the rest of the chunk.
// An error is an [*Error] with code 08P01 and severity FATAL: the stream has no
// messages any more, and the scanner is of no more use. chunk must not be empty.
func (s *Scanner) Next(chunk []byte) (Span, []byte, error) {
	if s.have > 0 && s.offset == 0 {
		s.have = 0 // the last call ended a message
	}
	span := Span{Offset: s.offset}
	taken := 0
	size := HeaderLen
	if s.startup {
		size = startupHeaderLen
	}
	if s.have < size {
		taken = copy(s.header[s.have:size], chunk)
		s.have += taken
		if !s.startup {
			span.Type = Type(s.header[0])
		}
		if s.have < size {
			if !s.startup {
				if err := s.checkType(span.Type); err != nil {
					return Span{}, chunk, err
				}
			}
			s.offset += taken
			span.Bytes = chunk
			return span, nil, nil
		}
		var err error
		if s.startup {
			s.current, err = parseStartup(s.header[:])
		} else {
			s.current, err = s.parse(s.header[:], 0)
		}
		if err != nil {
			return Span{}, chunk, err
		}
	}
	span.Type = s.current.Type
	span.Size = size + s.current.Len
	n := min(len(chunk), span.Size-s.offset)
	span.Bytes = chunk[:n:n]
	span.Body = chunk[taken:n:n]
	s.offset += n
	if s.offset == span.Size {
		span.End = true
		s.offset = 0
		s.startup = false
	}
	return span, chunk[n:], nil
}
