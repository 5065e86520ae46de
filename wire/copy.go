package wire

// CopyData is a piece of a COPY stream, in either direction.
type CopyData struct {
	Data []byte
}

func (*CopyData) frontend() {}
func (*CopyData) backend()  {}

// AppendTo appends the message to b.
func (m *CopyData) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeCopyData)
	b = append(b, m.Data...)
	return end(b, at)
}

// Decode reads the message from its body. Data is the body itself.
func (m *CopyData) Decode(body []byte) error {
	m.Data = body
	return nil
}

// CopyDone ends a COPY stream, in either direction.
type CopyDone struct{}

func (*CopyDone) frontend() {}
func (*CopyDone) backend()  {}

// AppendTo appends the message to b.
func (*CopyDone) AppendTo(b []byte) []byte { return emptyBody(b, TypeCopyDone) }

// Decode reads the message from its body.
func (*CopyDone) Decode(body []byte) error { return decodeEmpty("CopyDone", body) }

// CopyFail makes a COPY FROM STDIN fail.
type CopyFail struct {
	Message string // why; becomes part of the server's error
}

func (*CopyFail) frontend() {}

// AppendTo appends the message to b.
func (m *CopyFail) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeCopyFail)
	b = appendString(b, m.Message, "CopyFail")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *CopyFail) Decode(body []byte) error {
	c := newCursor("CopyFail", body)
	c.string(&m.Message)
	return c.end()
}

// CopyInResponse opens a COPY FROM STDIN: the frontend sends CopyData now.
type CopyInResponse struct {
	Format  Format   // of the whole stream
	Columns []Format // one for each column
}

func (*CopyInResponse) backend() {}

// AppendTo appends the message to b.
func (m *CopyInResponse) AppendTo(b []byte) []byte {
	return appendCopyResponse(b, TypeCopyInResponse, m.Format, m.Columns, "CopyInResponse")
}

// Decode reads the message from its body.
func (m *CopyInResponse) Decode(body []byte) error {
	return decodeCopyResponse(body, &m.Format, &m.Columns, "CopyInResponse")
}

// CopyOutResponse opens a COPY TO STDOUT: the backend sends CopyData now.
type CopyOutResponse struct {
	Format  Format
	Columns []Format
}

func (*CopyOutResponse) backend() {}

// AppendTo appends the message to b.
func (m *CopyOutResponse) AppendTo(b []byte) []byte {
	return appendCopyResponse(b, TypeCopyOutResponse, m.Format, m.Columns, "CopyOutResponse")
}

// Decode reads the message from its body.
func (m *CopyOutResponse) Decode(body []byte) error {
	return decodeCopyResponse(body, &m.Format, &m.Columns, "CopyOutResponse")
}

// CopyBothResponse opens a stream in both directions, for replication.
type CopyBothResponse struct {
	Format  Format
	Columns []Format
}

func (*CopyBothResponse) backend() {}

// AppendTo appends the message to b.
func (m *CopyBothResponse) AppendTo(b []byte) []byte {
	return appendCopyResponse(b, TypeCopyBothResponse, m.Format, m.Columns, "CopyBothResponse")
}

// Decode reads the message from its body.
func (m *CopyBothResponse) Decode(body []byte) error {
	return decodeCopyResponse(body, &m.Format, &m.Columns, "CopyBothResponse")
}

func appendCopyResponse(b []byte, t Type, f Format, columns []Format, message string) []byte {
	b, at := Begin(b, t)
	b = append(b, byte(f))
	b = appendFormats(b, columns, message)
	return end(b, at)
}

func decodeCopyResponse(body []byte, f *Format, columns *[]Format, message string) error {
	c := newCursor(message, body)
	*f = Format(c.byte())
	*columns = c.formats(*columns)
	return c.end()
}
