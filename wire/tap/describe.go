package tap

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/pgx-dev/pgx-dev/wire"
)

// secret stands for what is not told.
const secret = "***"

// A describer tells what messages say.
type describer struct {
	hide  bool
	limit int // of each value; negative is none
}

// authResponse names the answer to a request for authentication, without its secrets.
func authResponse(asked wire.AuthCode, body []byte) (string, []Field) {
	switch asked {
	case wire.AuthCleartextPassword, wire.AuthMD5Password:
		return "PasswordMessage", []Field{{"password", secret}}
	case wire.AuthSASL:
		var m wire.SASLInitialResponse
		if err := m.Decode(body); err != nil {
			return "SASLInitialResponse", []Field{{"error", "cannot be decoded"}}
		}
		return "SASLInitialResponse", []Field{{"mechanism", m.Mechanism}, {"data", secret}}
	case wire.AuthSASLContinue:
		return "SASLResponse", []Field{{"data", secret}}
	case wire.AuthGSS:
		return "GSSResponse", []Field{{"data", secret}}
	}
	return "AuthResponse", []Field{{"data", secret}}
}

// message returns the name and the fields of a message.
func (d describer) message(name string, m wire.Message, replication bool) (string, []Field) {
	switch m := m.(type) {
	case *wire.Query:
		return name, []Field{{"sql", d.sql(m.SQL)}}
	case *wire.Parse:
		fields := []Field{{"name", m.Name}, {"sql", d.sql(m.SQL)}}
		if len(m.ParamOIDs) > 0 {
			fields = append(fields, Field{"types", m.ParamOIDs})
		}
		return name, fields
	case *wire.Bind:
		return name, d.bind(m)
	case *wire.Describe:
		return name, []Field{{"kind", kindName(m.Kind)}, {"name", m.Name}}
	case *wire.Close:
		return name, []Field{{"kind", kindName(m.Kind)}, {"name", m.Name}}
	case *wire.Execute:
		return name, []Field{{"portal", m.Portal}, {"rows", m.MaxRows}}
	case *wire.FunctionCall:
		args := make([]any, len(m.Args))
		for i, a := range m.Args {
			args[i] = d.value(a)
		}
		return name, []Field{{"function", m.OID}, {"args", args}}
	case *wire.FunctionCallResponse:
		return name, []Field{{"result", d.value(m.Result)}}
	case *wire.CopyData:
		if replication {
			return d.streaming(name, m.Data)
		}
		return name, []Field{{"data", d.value(m.Data)}}
	case *wire.CopyFail:
		return name, []Field{{"reason", m.Message}}
	case wire.BackendMessage:
		return d.backend(name, m)
	}
	return name, nil
}

func (d describer) backend(name string, m wire.BackendMessage) (string, []Field) {
	switch m := m.(type) {
	case *wire.AuthenticationOk:
		return "AuthenticationOk", nil
	case *wire.AuthenticationCleartextPassword:
		return "AuthenticationCleartextPassword", nil
	case *wire.AuthenticationMD5Password:
		return "AuthenticationMD5Password", []Field{{"salt", secret}}
	case *wire.AuthenticationSASL:
		return "AuthenticationSASL", []Field{{"mechanisms", m.Mechanisms}}
	case *wire.AuthenticationSASLContinue:
		return "AuthenticationSASLContinue", []Field{{"data", secret}}
	case *wire.AuthenticationSASLFinal:
		return "AuthenticationSASLFinal", []Field{{"data", secret}}
	case *wire.AuthenticationGSS:
		return "AuthenticationGSS", nil
	case *wire.AuthenticationGSSContinue:
		return "AuthenticationGSSContinue", []Field{{"data", secret}}
	case *wire.BackendKeyData:
		return name, []Field{{"pid", m.PID}, {"key", secret}}
	case *wire.ParameterStatus:
		return name, []Field{{m.Name, m.Value}}
	case *wire.ReadyForQuery:
		return name, []Field{{"status", statusName(m.TxStatus)}}
	case *wire.CommandComplete:
		return name, []Field{{"tag", m.Tag}}
	case *wire.RowDescription:
		columns := make([]string, len(m.Fields))
		for i, f := range m.Fields {
			columns[i] = fmt.Sprintf("%s:%d", f.Name, f.TypeOID)
			if f.Format == wire.Binary {
				columns[i] += ":binary"
			}
		}
		return name, []Field{{"columns", columns}}
	case *wire.DataRow:
		values := make([]any, len(m.Values))
		for i, v := range m.Values {
			values[i] = d.value(v)
		}
		return name, []Field{{"values", values}}
	case *wire.ParameterDescription:
		return name, []Field{{"types", m.OIDs}}
	case *wire.ErrorResponse:
		return name, d.error(&m.Error)
	case *wire.NoticeResponse:
		return name, d.error(&m.Error)
	case *wire.NotificationResponse:
		return name, []Field{{"pid", m.PID}, {"channel", m.Channel}, {"payload", d.value([]byte(m.Payload))}}
	case *wire.CopyInResponse:
		return name, []Field{{"format", m.Format.String()}, {"columns", len(m.Columns)}}
	case *wire.CopyOutResponse:
		return name, []Field{{"format", m.Format.String()}, {"columns", len(m.Columns)}}
	case *wire.CopyBothResponse:
		return name, []Field{{"format", m.Format.String()}, {"columns", len(m.Columns)}}
	case *wire.NegotiateProtocolVersion:
		return name, []Field{{"version", m.Version.String()}, {"unrecognized", m.Unrecognized}}
	}
	return name, nil
}

func (d describer) bind(m *wire.Bind) []Field {
	params := make([]any, len(m.Params))
	for i, p := range m.Params {
		params[i] = d.value(p)
	}
	fields := []Field{{"portal", m.Portal}, {"statement", m.Statement}, {"params", params}}
	if slices.Contains(m.ResultFormats, wire.Binary) {
		return append(fields, Field{"results", "binary"})
	}
	return fields
}

// error returns the fields of an error. Messages and details quote values.
func (d describer) error(e *wire.Error) []Field {
	fields := []Field{{"severity", e.Severity.String()}, {"code", string(e.Code)}}
	add := func(name, text string) {
		if text != "" {
			fields = append(fields, Field{name, text})
		}
	}
	if !d.hide {
		add("message", e.Message)
		add("detail", e.Detail)
		add("hint", e.Hint)
		add("where", e.Where)
	}
	add("schema", e.Schema)
	add("table", e.Table)
	add("column", e.Column)
	add("constraint", e.Constraint)
	if e.Position > 0 {
		fields = append(fields, Field{"position", e.Position})
	}
	return fields
}

// streaming takes apart what CopyData carries during replication.
func (d describer) streaming(name string, data []byte) (string, []Field) {
	if len(data) == 0 {
		return name, nil
	}
	switch data[0] {
	case wire.SubXLogData:
		var m wire.XLogData
		if m.Decode(data) == nil {
			return "XLogData", []Field{{"start", m.Start.String()}, {"end", m.ServerEnd.String()}, {"data", d.value(m.Data)}}
		}
	case wire.SubPrimaryKeepalive:
		var m wire.PrimaryKeepalive
		if m.Decode(data) == nil {
			return "PrimaryKeepalive", []Field{{"end", m.ServerEnd.String()}, {"reply", m.ReplyRequested}}
		}
	case wire.SubStandbyStatus:
		var m wire.StandbyStatus
		if m.Decode(data) == nil {
			return "StandbyStatus", []Field{
				{"written", m.Written.String()},
				{"flushed", m.Flushed.String()},
				{"applied", m.Applied.String()},
				{"reply", m.ReplyRequested},
			}
		}
	case wire.SubHotStandbyFeedback:
		return "HotStandbyFeedback", nil
	}
	return name, []Field{{"data", d.value(data)}}
}

// sql returns a query's text, without passwords.
func (d describer) sql(text string) string {
	text = maskPasswords(text)
	if d.hide {
		text = maskLiterals(text)
	}
	return d.cut(text)
}

// value returns a value as text, or as \x and hexadecimal digits when it is none; nil is
// NULL.
func (d describer) value(b []byte) any {
	if b == nil {
		return nil
	}
	if d.hide {
		return fmt.Sprintf("(%d bytes)", len(b))
	}
	s := string(b)
	if printable(s) {
		return d.cut(s)
	}
	more := ""
	if d.limit >= 0 && len(b) > d.limit/2 {
		more = fmt.Sprintf("… (%d bytes)", len(b))
		b = b[:d.limit/2]
	}
	return `\x` + hex.EncodeToString(b) + more
}

// cut shortens a text between two of its characters.
func (d describer) cut(s string) string {
	if d.limit < 0 || len(s) <= d.limit {
		return s
	}
	n := d.limit
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "… (" + strconv.Itoa(len(s)) + " bytes)"
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
	}
	return true
}

func kindName(k wire.Kind) string {
	if k == wire.StatementKind {
		return "statement"
	}
	return "portal"
}

func statusName(s wire.TxStatus) string {
	switch s {
	case wire.TxIdle:
		return "idle"
	case wire.TxActive:
		return "transaction"
	case wire.TxFailed:
		return "failed"
	}
	return string(rune(s))
}
