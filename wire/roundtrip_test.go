package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRoundTrip covers the messages that pgproto3 does not have.
func TestRoundTrip(t *testing.T) {
	tests := []Message{
		&AuthenticationKerberosV5{},
		&AuthenticationSCMCredential{},
		&AuthenticationSSPI{},
		&AuthResponse{Data: []byte("any")},
		&XLogData{Start: 1, ServerEnd: 1<<64 - 1, SendTime: -5, Data: []byte("wal")},
		&PrimaryKeepalive{ServerEnd: 77, SendTime: 5, ReplyRequested: true},
		&StandbyStatus{Written: 3, Flushed: 2, Applied: 1, SendTime: 9, ReplyRequested: true},
		&HotStandbyFeedback{SendTime: 1, Xmin: 2, XminEpoch: 3, CatalogXmin: 4, CatalogXminEpoch: 5},
	}
	for _, m := range tests {
		b := m.AppendTo(nil)
		got := map[bool]Message{true: zeroSub(m), false: nil}[Type(b[0]) == TypeCopyData]
		if got == nil {
			got = newOf(m)
		}
		if err := got.Decode(b[HeaderLen:]); err != nil {
			t.Errorf("%T: %v", m, err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%T:\n%s", m, diff)
		}
		for n := range len(b) - HeaderLen - 1 {
			if err := zeroOrNew(m).Decode(b[HeaderLen : HeaderLen+n]); err == nil && !anyLength(m, n) {
				t.Errorf("%T: %d of %d bytes are accepted", m, n, len(b)-HeaderLen)
			}
		}
	}
}

func zeroSub(m Message) Message {
	switch m.(type) {
	case *XLogData:
		return &XLogData{}
	case *PrimaryKeepalive:
		return &PrimaryKeepalive{}
	case *StandbyStatus:
		return &StandbyStatus{}
	case *HotStandbyFeedback:
		return &HotStandbyFeedback{}
	}
	return nil
}

func zeroOrNew(m Message) Message {
	if z := zeroSub(m); z != nil {
		return z
	}
	return newOf(m)
}

// anyLength reports whether m may be n bytes long, because it ends with free-form data.
func anyLength(m Message, n int) bool {
	switch m.(type) {
	case *AuthResponse:
		return true
	case *XLogData:
		return n >= 25
	}
	return false
}

// TestDecodeRefuses has bodies that are wrong in each of the ways there are, and the words
// in which PostgreSQL says so.
func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		side Side
		t    Type
		body string
		want string
	}{
		{Frontend, TypeQuery, "", "invalid string in message"},
		{Frontend, TypeQuery, "select 1", "invalid string in message"},
		{Frontend, TypeQuery, "select 1\x00x", "invalid message format"},
		{Frontend, TypeSync, "x", "invalid message format"},
		{Frontend, TypeParse, "s\x00select 1\x00", "insufficient data left in message"},
		{Frontend, TypeParse, "s\x00select 1\x00\x00\x01\x00\x00\x00", "insufficient data left in message"},
		{Frontend, TypeBind, "\x00\x00\x00\x00\xff\xff\x00\x00", "insufficient data left in message"}, // count -1
		{Frontend, TypeBind, "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00", "insufficient data left in message"},
		{Frontend, TypeBind, "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x05ab\x00\x00", "insufficient data left in message"},
		{Frontend, TypeBind, "\x00\x00\x00\x02\x00\x00\x00\x01\x00\x01\xff\xff\xff\xff\x00\x00", "bind message has 2 parameter formats but 1 parameters"},
		{Frontend, TypeBind, "\x00\x00\x00\x00\x00\x00\x00\x00x", "invalid message format"},
		{Frontend, TypeDescribe, "", "no data left in message"},
		{Frontend, TypeDescribe, "X\x00", "invalid DESCRIBE message subtype 88"},
		{Frontend, TypeClose, "s\x00", "invalid CLOSE message subtype 115"},
		{Frontend, TypeExecute, "\x00\x00\x00\x00", "insufficient data left in message"},
		{Frontend, TypeFunctionCall, "\x00\x00\x00\x01\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00", "function call message contains 2 argument formats but 0 arguments"},
		{Frontend, '!', "", "invalid frontend message type 33"},
		{Backend, '!', "", "invalid backend message type 33"},
		{Backend, TypeDataRow, "\x00\x01\x00\x00\x00\x01", "insufficient data left in message"},
		{Backend, TypeDataRow, "\x00\x00x", "invalid message format"},
		{Backend, TypeRowDescription, "\xff\xff", "insufficient data left in message"},
		{Backend, TypeAuthentication, "\x00\x00\x00\x01", "authentication method 1 not supported"},
		{Backend, TypeAuthentication, "\x00\x00", "insufficient data left in message"},
		{Backend, TypeAuthentication, "\x00\x00\x00\x0aSCRAM", "invalid string in message"},
		{Backend, TypeBackendKeyData, "\x00\x00\x00\x01\x00\x00\x00", "invalid cancel key length 3"},
		{Backend, TypeBackendKeyData, "\x00\x00\x00\x01" + strings.Repeat("k", 257), "invalid cancel key length 257"},
		{Backend, TypeNegotiateProtocolVersion, "\x00\x03\x00\x00\xff\xff\xff\xff", "insufficient data left in message"},
		{Backend, TypeNegotiateProtocolVersion, "\x00\x03\x00\x00\x7f\xff\xff\xff", "insufficient data left in message"},
		{Backend, TypeErrorResponse, "SERROR\x00", "no data left in message"},
		{Backend, TypeErrorResponse, "SERROR", "invalid string in message"},
	}
	for _, tt := range tests {
		var err error
		if tt.side == Frontend {
			_, err = DecodeFrontend(tt.t, []byte(tt.body))
		} else {
			_, err = DecodeBackend(tt.t, []byte(tt.body))
		}
		var e *Error
		if !errors.As(err, &e) || e.Message != tt.want || e.Code != CodeProtocolViolation {
			t.Errorf("%s %v %q: %v, want %q", tt.side, tt.t, tt.body, err, tt.want)
		}
	}
	for _, body := range []string{"", "\x00\x03\x00", "\x00\x03\x00\x00", "\x00\x03\x00\x00user\x00u\x00", "\x00\x03\x00\x00user\x00u", "\x00\x03\x00\x00\x00\x00", "\x04\xd2\x16\x2e\x00\x00\x00\x01\x00", "\x04\xd2\x16\x2fx"} {
		if m, err := DecodeStartup([]byte(body)); err == nil {
			t.Errorf("startup packet %q is accepted as %T", body, m)
		}
	}
}

// TestEncodeRefuses encodes what no message can carry, by Append and by Writer.
func TestEncodeRefuses(t *testing.T) {
	many := make([][]byte, 65536)
	tests := []Message{
		&Query{SQL: "select 1\x00; drop table t"},
		&StartupMessage{Version: Version30, Params: []Param{{"user", "u\x00database\x00other"}}},
		&StartupMessage{Version: Version30, Params: []Param{{"", "x"}}},
		&StartupMessage{Version: Version30, Params: []Param{{"user", strings.Repeat("u", MaxStartup)}}},
		&PasswordMessage{Password: "a\x00b"},
		&AuthenticationSASL{Mechanisms: []string{"A", "", "B"}},
		&Bind{Params: many},
		&DataRow{Values: many},
		&Parse{ParamOIDs: make([]uint32, 65536)},
		&CancelRequest{Key: []byte("abc")},
		&BackendKeyData{Key: make([]byte, 257)},
	}
	for _, m := range tests {
		b, err := Append([]byte("before"), m)
		var e *EncodeError
		if !errors.As(err, &e) || string(b) != "before" || strings.Contains(err.Error(), "a\x00b") {
			t.Errorf("%T: %q, %v", m, b, err)
		}
		var out bytes.Buffer
		w := NewWriter(&out)
		if err := w.Send(&Sync{}); err != nil {
			t.Fatal(err)
		}
		if err := w.Send(m); !errors.As(err, &e) {
			t.Errorf("%T: Send returned %v", m, err)
		}
		if err := errors.Join(w.Send(&Sync{}), w.Flush()); err != nil {
			t.Errorf("%T: after a refused message: %v", m, err)
		}
		if out.String() != "S\x00\x00\x00\x04S\x00\x00\x00\x04" {
			t.Errorf("%T: %q was sent", m, out.String())
		}
	}
}

// TestEndRefusesLongMessages does not fill a gibibyte: the length is a matter of positions,
// so memory that is reserved and never touched will do.
func TestEndRefusesLongMessages(t *testing.T) {
	if testing.Short() {
		t.Skip("reserves 1 GiB")
	}
	mem := make([]byte, MaxLargeMessage+2)
	mem[0] = byte(TypeQuery)
	if b, err := End(mem[:MaxLargeMessage+1], 1); err != nil || len(b) != MaxLargeMessage+1 {
		t.Errorf("the longest message: %d bytes, %v", len(b), err)
	}
	b, err := End(mem, 1)
	var e *EncodeError
	if !errors.As(err, &e) || len(b) != 0 || e.SQLState() != "54000" {
		t.Errorf("a byte more: %d bytes, %v", len(b), err)
	}
	if err := NewWriter(io.Discard).WriteHeader(Header{Type: TypeCopyData, Len: MaxLargeMessage - 3}); !errors.As(err, &e) {
		t.Errorf("a header for more: %v", err)
	}
}

func TestErrorRoundTrip(t *testing.T) {
	// A NUL in a text cannot end it early.
	sent := Error{Code: CodeSyntaxError, Message: "bad \x00C00000\x00 value", Detail: "\x00"}
	b := sent.Response().AppendTo(nil)
	var m ErrorResponse
	if err := m.Decode(b[HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	if m.Error.Code != CodeSyntaxError || m.Error.Message != "bad ?C00000? value" || m.Error.Detail != "?" {
		t.Errorf("got %+v", m.Error)
	}
	// What a server says in another language keeps its severity.
	if err := m.Decode([]byte("SFEHLER\x00VERROR\x00C42601\x00MSyntaxfehler\x00Pxx\x00!unknown\x00\x00")); err != nil {
		t.Fatal(err)
	}
	want := Error{LocalSeverity: "FEHLER", Code: "42601", Message: "Syntaxfehler"}
	if m.Error != want {
		t.Errorf("got %+v, want %+v", m.Error, want)
	}
	if got := m.Error.Error(); got != "ERROR: Syntaxfehler (SQLSTATE 42601)" {
		t.Error(got)
	}
	// A server before 9.6 sends only S.
	if err := m.Decode([]byte("SFATAL\x00C28000\x00Mno\x00\x00")); err != nil || m.Error.Severity != SeverityFatal {
		t.Errorf("%+v, %v", m.Error, err)
	}
	// An error without a code gets one, a notice another.
	for m, want := range map[BackendMessage]Code{(&Error{}).Response(): "XX000", (&Error{Severity: SeverityNotice}).Notice(): "00000"} {
		b := m.AppendTo(nil)
		var e Error
		if err := e.decode("", b[HeaderLen:]); err != nil || e.Code != want {
			t.Errorf("%T: %+v, %v", m, e, err)
		}
	}
}

type stated struct{}

func (stated) Error() string    { return "stated" }
func (stated) SQLState() string { return "23505" }

func TestAsError(t *testing.T) {
	own := Errorf(CodeUndefinedTable, "open: %w", io.ErrUnexpectedEOF)
	if !errors.Is(own, io.ErrUnexpectedEOF) || own.Message != "open: unexpected EOF" {
		t.Errorf("%v", own)
	}
	if e := AsError(fmt.Errorf("wrapped: %w", own)); e != own {
		t.Errorf("got %v", e)
	}
	tests := []struct {
		err  error
		code Code
	}{
		{fmt.Errorf("x: %w", stated{}), CodeUniqueViolation},
		{errors.New("x"), CodeInternalError},
		{context.Canceled, CodeQueryCanceled},
		{context.DeadlineExceeded, CodeQueryCanceled},
		{&EncodeError{}, CodeProgramLimitExceeded},
	}
	for _, tt := range tests {
		if e := AsError(tt.err); e.Code != tt.code || !errors.Is(e, tt.err) && tt.code != CodeUniqueViolation {
			t.Errorf("%v: %v", tt.err, e)
		}
	}
	if AsError(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestNegotiate(t *testing.T) {
	startup := func(v Version, names ...string) *StartupMessage {
		m := &StartupMessage{Version: v, Params: []Param{{"user", "u"}}}
		for _, n := range names {
			m.Params = append(m.Params, Param{n, "1"})
		}
		return m
	}
	tests := []struct {
		asked  *StartupMessage
		newest Version
		want   Version
		sent   bool
	}{
		{startup(Version30), Version32, Version30, false},
		{startup(Version32), Version32, Version32, false},
		{startup(Version32), Version30, Version30, true},
		{startup(MakeVersion(3, 1)), Version32, MakeVersion(3, 1), false},
		{startup(VersionGrease), Version32, Version32, true},
		{startup(Version30, "_pq_.known"), Version32, Version30, false},
		{startup(Version30, "_pq_.a", "_pq_.known", "_pq_.a"), Version32, Version30, true},
	}
	for _, tt := range tests {
		got, npv, err := Negotiate(tt.asked, tt.newest, "_pq_.known")
		if err != nil || got != tt.want || (npv != nil) != tt.sent {
			t.Errorf("asked for %v %v: %v, %+v, %v", tt.asked.Version, tt.asked.Params, got, npv, err)
			continue
		}
		if npv == nil {
			continue
		}
		// Our own client accepts what our own server says.
		if v, err := npv.Accept(tt.asked, Version30); err != nil || v != tt.want {
			t.Errorf("answer %+v to %v: %v, %v", npv, tt.asked.Version, v, err)
		}
	}
	var e *Error
	if _, _, err := Negotiate(startup(MakeVersion(4, 0)), Version32); !errors.As(err, &e) || e.Code != CodeFeatureNotSupported ||
		e.Message != "unsupported frontend protocol 4.0: server supports 3.0 to 3.2" || e.Severity != SeverityFatal {
		t.Errorf("4.0: %v", e)
	}
	asked := startup(Version32, "_pq_.a")
	for _, npv := range []NegotiateProtocolVersion{
		{Version: MakeVersion(3, 3)},
		{Version: MakeVersion(2, 0)},
		{Version: MakeVersion(3, 1)},
		{Version: Version32},
		{Version: Version30, Unrecognized: []string{"_pq_.b"}},
		{Version: Version30, Unrecognized: []string{"user"}},
	} {
		if v, err := npv.Accept(asked, Version30); err == nil {
			t.Errorf("%+v is accepted as %v", npv, v)
		}
	}
	if v, err := (&NegotiateProtocolVersion{Version: 0}).Accept(asked, Version30); err != nil || v != Version30 {
		t.Errorf("a bare minor number: %v, %v", v, err)
	}
	if _, err := (&NegotiateProtocolVersion{Version: Version30}).Accept(asked, Version32); err == nil {
		t.Error("less than the client wants is accepted")
	}
}

func TestLSNAndTimestamp(t *testing.T) {
	for s, want := range map[string]LSN{"0/0": 0, "16/B374D848": 0x16B374D848, "FFFFFFFF/FFFFFFFF": 1<<64 - 1} {
		if got, err := ParseLSN(s); err != nil || got != want || got.String() != s {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "/", "0/", "1/100000000", "-1/0", "x/0", "0/0/0"} {
		if got, err := ParseLSN(s); err == nil {
			t.Errorf("%q is accepted as %v", s, got)
		}
	}
	at := time.Date(2026, 11, 20, 1, 2, 3, 456789000, time.UTC)
	if got := TimestampOf(at).Time(); !got.Equal(at) {
		t.Errorf("%v became %v", at, got)
	}
	if ts := TimestampOf(time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC)); ts != 1_000_000 {
		t.Error(ts)
	}
}
