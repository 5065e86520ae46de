package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Message types and codes of the protocol that this package looks at (protocol.h and
// pqcomm.h).
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104

	headerLen = wire.HeaderLen
)

// A fault is an error that ends a client's session.
type fault struct {
	code, message, hint string
}

func (f *fault) Error() string { return f.message + " (SQLSTATE " + f.code + ")" }

// message frames a body.
func message(typ byte, body []byte) []byte {
	b := make([]byte, headerLen, headerLen+len(body))
	b[0] = typ
	binary.BigEndian.PutUint32(b[1:], uint32(4+len(body)))
	return append(b, body...)
}

func query(sql string) []byte { return message('Q', append([]byte(sql), 0)) }

// errorResponse writes an ErrorResponse of some severity.
func errorResponse(severity string, f *fault) []byte {
	e := wire.Error{Severity: wire.SeverityError, Code: wire.Code(f.code), Message: f.message, Hint: f.hint}
	if severity == "FATAL" {
		e.Severity = wire.SeverityFatal
	}
	return e.Response().AppendTo(nil)
}

// errorFields reads an ErrorResponse's body.
func errorFields(body []byte) *fault {
	var m wire.ErrorResponse
	if err := m.Decode(body); err != nil {
		return &fault{code: string(wire.CodeInternalError), message: err.Error()}
	}
	return &fault{code: string(m.Error.Code), message: m.Error.Message, hint: m.Error.Hint}
}

// A startup is a client's startup message.
type startup struct {
	user, database string
	settings       [][2]string // in order, those of options first
	minor          int
	extensions     []string // _pq_.* parameters
}

// parseStartup reads the body of a startup message: version and parameters.
func parseStartup(body []byte) (*startup, error) {
	bad := func(why string) error { return &fault{code: "08P01", message: "invalid startup packet layout: " + why} }
	if len(body) < 5 || body[len(body)-1] != 0 {
		return nil, bad("expected terminator as last byte")
	}
	version := binary.BigEndian.Uint32(body)
	if version>>16 != 3 {
		return nil, &fault{code: "0A000", message: "unsupported frontend protocol " + itoa(int(version>>16)) + "." + itoa(int(version&0xffff)) + ": server supports 3.0"}
	}
	s := &startup{minor: int(version & 0xffff)}
	var options string
	for rest := body[4 : len(body)-1]; len(rest) > 0; {
		name, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, bad("a parameter without value")
		}
		value, after, ok := bytes.Cut(after, []byte{0})
		if !ok {
			return nil, bad("a parameter without value")
		}
		rest = after
		switch n, v := string(name), string(value); {
		case n == "user":
			s.user = v
		case n == "database":
			s.database = v
		case n == "options":
			options = v
		case n == "replication":
			if v != "false" && v != "off" && v != "0" && v != "no" {
				return nil, &fault{code: "0A000", message: "this server does not support replication connections", hint: "Use the native engine."}
			}
		case strings.HasPrefix(n, "_pq_."):
			s.extensions = append(s.extensions, n)
		default:
			s.settings = append(s.settings, [2]string{n, v})
		}
	}
	if s.user == "" {
		return nil, &fault{code: "28000", message: "no PostgreSQL user name specified in startup packet"}
	}
	if s.database == "" {
		s.database = s.user
	}
	set, err := parseOptions(options)
	if err != nil {
		return nil, err
	}
	s.settings = append(set, s.settings...)
	return s, nil
}

// parseOptions reads the command-line options that libpq's "options" carries: -c name=value,
// -cname=value and --name=value, with backslashes before spaces (pg_split_opts).
func parseOptions(s string) ([][2]string, error) {
	var words []string
	var word strings.Builder
	in := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			in = true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	var out [][2]string
	for i := 0; i < len(words); i++ {
		w := words[i]
		var assignment string
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			assignment = words[i]
		case strings.HasPrefix(w, "-c"):
			assignment = w[2:]
		case strings.HasPrefix(w, "--"):
			assignment = w[2:]
		default:
			return nil, &fault{code: "42601", message: "invalid command-line argument for server process: " + w}
		}
		name, value, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, &fault{code: "42601", message: "-c " + assignment + " requires a value"}
		}
		out = append(out, [2]string{strings.ReplaceAll(name, "-", "_"), value})
	}
	return out, nil
}

// asFault makes any error one that can be sent.
func asFault(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return &fault{code: "XX000", message: err.Error()}
}
