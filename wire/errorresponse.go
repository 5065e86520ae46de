package wire

import (
	"bytes"
	"strconv"
)

// An ErrorResponse reports an error.
type ErrorResponse struct {
	Error Error
}

func (*ErrorResponse) backend() {}

// AppendTo appends the message to b. A NUL byte in a text becomes a question mark, because
// an error must reach the client whatever was in the data that caused it.
func (m *ErrorResponse) AppendTo(b []byte) []byte {
	return m.Error.appendTo(b, TypeErrorResponse, CodeInternalError)
}

// Decode reads the message from its body. Fields that this package does not know are
// passed over, as the protocol wants it.
func (m *ErrorResponse) Decode(body []byte) error {
	return m.Error.decode("ErrorResponse", body)
}

// A NoticeResponse reports something that is not an error. It may come at any time.
type NoticeResponse struct {
	Error Error
}

func (*NoticeResponse) backend() {}

// AppendTo appends the message to b, as that of ErrorResponse does.
func (m *NoticeResponse) AppendTo(b []byte) []byte {
	return m.Error.appendTo(b, TypeNoticeResponse, CodeSuccessfulCompletion)
}

// Decode reads the message from its body.
func (m *NoticeResponse) Decode(body []byte) error {
	return m.Error.decode("NoticeResponse", body)
}

func (e *Error) appendTo(b []byte, t Type, code Code) []byte {
	b, at := Begin(b, t)
	local := e.LocalSeverity
	if local == "" {
		local = e.Severity.String()
	}
	if e.Code != "" {
		code = e.Code
	}
	b = appendErrorField(b, 'S', local)
	b = appendErrorField(b, 'V', e.Severity.String())
	b = appendErrorField(b, 'C', string(code))
	b = append(b, 'M') // always there, even if empty: libpq prints nothing without it
	b = appendErrorText(b, e.Message)
	b = appendErrorField(b, 'D', e.Detail)
	b = appendErrorField(b, 'H', e.Hint)
	b = appendErrorNumber(b, 'P', e.Position)
	b = appendErrorNumber(b, 'p', e.InternalPosition)
	b = appendErrorField(b, 'q', e.InternalQuery)
	b = appendErrorField(b, 'W', e.Where)
	b = appendErrorField(b, 's', e.Schema)
	b = appendErrorField(b, 't', e.Table)
	b = appendErrorField(b, 'c', e.Column)
	b = appendErrorField(b, 'd', e.DataType)
	b = appendErrorField(b, 'n', e.Constraint)
	b = appendErrorField(b, 'F', e.File)
	b = appendErrorNumber(b, 'L', e.Line)
	b = appendErrorField(b, 'R', e.Routine)
	return end(append(b, 0), at)
}

func appendErrorField(b []byte, field byte, text string) []byte {
	if text == "" {
		return b
	}
	return appendErrorText(append(b, field), text)
}

func appendErrorText(b []byte, text string) []byte {
	at := len(b)
	b = append(b, text...)
	for i := bytes.IndexByte(b[at:], 0); i >= 0; i = bytes.IndexByte(b[at:], 0) {
		b[at+i] = '?'
	}
	return append(b, 0)
}

func appendErrorNumber(b []byte, field byte, n int) []byte {
	if n == 0 {
		return b
	}
	b = strconv.AppendInt(append(b, field), int64(n), 10)
	return append(b, 0)
}

func (e *Error) decode(name string, body []byte) error {
	*e = Error{}
	severity := ""
	c := newCursor(name, body)
	for c.err == nil {
		field := c.byte()
		if field == 0 {
			break
		}
		text := string(c.cstring())
		switch field {
		case 'S':
			e.LocalSeverity = text
		case 'V':
			severity = text
		case 'C':
			e.Code = Code(text)
		case 'M':
			e.Message = text
		case 'D':
			e.Detail = text
		case 'H':
			e.Hint = text
		case 'P':
			e.Position = errorNumber(text)
		case 'p':
			e.InternalPosition = errorNumber(text)
		case 'q':
			e.InternalQuery = text
		case 'W':
			e.Where = text
		case 's':
			e.Schema = text
		case 't':
			e.Table = text
		case 'c':
			e.Column = text
		case 'd':
			e.DataType = text
		case 'n':
			e.Constraint = text
		case 'F':
			e.File = text
		case 'L':
			e.Line = errorNumber(text)
		case 'R':
			e.Routine = text
		}
	}
	if severity == "" { // servers before 9.6 send only the localized one
		severity = e.LocalSeverity
	}
	e.Severity, _ = ParseSeverity(severity)
	if e.LocalSeverity == e.Severity.String() {
		e.LocalSeverity = ""
	}
	return c.end()
}

// errorNumber returns 0 for what is no number: an error is worth more than its position.
func errorNumber(text string) int {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0
	}
	return int(n)
}
