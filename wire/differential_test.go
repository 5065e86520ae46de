package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A theirs is a message of pgproto3.
type theirs interface {
	Decode([]byte) error
	Encode([]byte) ([]byte, error)
}

// A pair is one message as we and pgproto3 write it.
type pair struct {
	ours   Message
	theirs theirs
}

var longText = strings.Repeat("long text. ", 1000)

func fullError() Error {
	return Error{
		Severity: SeverityFatal, LocalSeverity: "FATAL", Code: "42P01", Message: "relation \"t\" does not exist",
		Detail: "d", Hint: "h", Position: 15, InternalPosition: 3, InternalQuery: "select", Where: "PL/pgSQL function f() line 1",
		Schema: "public", Table: "t", Column: "c", DataType: "int4", Constraint: "t_pkey", File: "parse_relation.c", Line: 1392, Routine: "parserOpenTable",
	}
}

func theirFullError() pgproto3.ErrorResponse {
	return pgproto3.ErrorResponse{
		Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "42P01", Message: "relation \"t\" does not exist",
		Detail: "d", Hint: "h", Position: 15, InternalPosition: 3, InternalQuery: "select", Where: "PL/pgSQL function f() line 1",
		SchemaName: "public", TableName: "t", ColumnName: "c", DataTypeName: "int4", ConstraintName: "t_pkey", File: "parse_relation.c", Line: 1392, Routine: "parserOpenTable",
	}
}

func frontendPairs() []pair {
	return []pair{
		{&Query{SQL: "select 1"}, &pgproto3.Query{String: "select 1"}},
		{&Query{}, &pgproto3.Query{}},
		{&Query{SQL: longText}, &pgproto3.Query{String: longText}},
		{&Parse{Name: "s", SQL: "select $1", ParamOIDs: []uint32{23, 0, 1<<32 - 1}}, &pgproto3.Parse{Name: "s", Query: "select $1", ParameterOIDs: []uint32{23, 0, 1<<32 - 1}}},
		{&Parse{}, &pgproto3.Parse{}},
		{
			&Bind{Portal: "p", Statement: "s", ParamFormats: []Format{Text, Binary, Text}, Params: [][]byte{[]byte("a"), nil, {}}, ResultFormats: []Format{Binary}},
			&pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s", ParameterFormatCodes: []int16{0, 1, 0}, Parameters: [][]byte{[]byte("a"), nil, {}}, ResultFormatCodes: []int16{1}},
		},
		{&Bind{}, &pgproto3.Bind{}},
		{&Describe{Kind: StatementKind, Name: "s"}, &pgproto3.Describe{ObjectType: 'S', Name: "s"}},
		{&Close{Kind: PortalKind, Name: "p"}, &pgproto3.Close{ObjectType: 'P', Name: "p"}},
		{&Execute{Portal: "p", MaxRows: 1<<31 - 1}, &pgproto3.Execute{Portal: "p", MaxRows: 1<<31 - 1}},
		{&Flush{}, &pgproto3.Flush{}},
		{&Sync{}, &pgproto3.Sync{}},
		{&Terminate{}, &pgproto3.Terminate{}},
		{
			&FunctionCall{OID: 1598, ArgFormats: []Format{Binary}, Args: [][]byte{{1, 2}, nil}, ResultFormat: Binary},
			&pgproto3.FunctionCall{Function: 1598, ArgFormatCodes: []uint16{1}, Arguments: [][]byte{{1, 2}, nil}, ResultFormatCode: 1},
		},
		{&CopyData{Data: []byte("1\t2\n")}, &pgproto3.CopyData{Data: []byte("1\t2\n")}},
		{&CopyData{}, &pgproto3.CopyData{}},
		{&CopyDone{}, &pgproto3.CopyDone{}},
		{&CopyFail{Message: "no"}, &pgproto3.CopyFail{Message: "no"}},
		{&PasswordMessage{Password: "secret"}, &pgproto3.PasswordMessage{Password: "secret"}},
		{&SASLInitialResponse{Mechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=x")}, &pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=x")}},
		{&SASLResponse{Data: []byte("c=biws")}, &pgproto3.SASLResponse{Data: []byte("c=biws")}},
		{&GSSResponse{Data: []byte{1, 2, 3}}, &pgproto3.GSSResponse{Data: []byte{1, 2, 3}}},
	}
}

func startupPairs() []pair {
	return []pair{
		{&StartupMessage{Version: Version30, Params: []Param{{"user", "u"}}}, &pgproto3.StartupMessage{ProtocolVersion: 196608, Parameters: map[string]string{"user": "u"}}},
		{&StartupMessage{Version: Version32, Params: []Param{{"_pq_.x", ""}}}, &pgproto3.StartupMessage{ProtocolVersion: 196610, Parameters: map[string]string{"_pq_.x": ""}}},
		{&SSLRequest{}, &pgproto3.SSLRequest{}},
		{&GSSENCRequest{}, &pgproto3.GSSEncRequest{}},
		{&CancelRequest{PID: 7, Key: []byte("abcd")}, &pgproto3.CancelRequest{ProcessID: 7, SecretKey: []byte("abcd")}},
		{&CancelRequest{PID: 1<<32 - 1, Key: make([]byte, 256)}, &pgproto3.CancelRequest{ProcessID: 1<<32 - 1, SecretKey: make([]byte, 256)}},
	}
}

func backendPairs() []pair {
	errorResponse := theirFullError()
	noticeResponse := pgproto3.NoticeResponse(errorResponse)
	return []pair{
		{&AuthenticationOk{}, &pgproto3.AuthenticationOk{}},
		{&AuthenticationCleartextPassword{}, &pgproto3.AuthenticationCleartextPassword{}},
		{&AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}}, &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}}},
		{&AuthenticationGSS{}, &pgproto3.AuthenticationGSS{}},
		{&AuthenticationGSSContinue{Data: []byte("x")}, &pgproto3.AuthenticationGSSContinue{Data: []byte("x")}},
		{&AuthenticationSASL{Mechanisms: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}}, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}}},
		{&AuthenticationSASLContinue{Data: []byte("r=,s=,i=4096")}, &pgproto3.AuthenticationSASLContinue{Data: []byte("r=,s=,i=4096")}},
		{&AuthenticationSASLFinal{Data: []byte("v=")}, &pgproto3.AuthenticationSASLFinal{Data: []byte("v=")}},
		{&BackendKeyData{PID: 9, Key: []byte("0123")}, &pgproto3.BackendKeyData{ProcessID: 9, SecretKey: []byte("0123")}},
		{&BackendKeyData{PID: 9, Key: make([]byte, 32)}, &pgproto3.BackendKeyData{ProcessID: 9, SecretKey: make([]byte, 32)}},
		{&BindComplete{}, &pgproto3.BindComplete{}},
		{&CloseComplete{}, &pgproto3.CloseComplete{}},
		{&CommandComplete{Tag: "SELECT 3"}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 3")}},
		{&CopyBothResponse{Columns: []Format{}}, &pgproto3.CopyBothResponse{ColumnFormatCodes: []uint16{}}},
		{&CopyInResponse{Format: Binary, Columns: []Format{Binary, Binary}}, &pgproto3.CopyInResponse{OverallFormat: 1, ColumnFormatCodes: []uint16{1, 1}}},
		{&CopyOutResponse{Columns: []Format{Text}}, &pgproto3.CopyOutResponse{ColumnFormatCodes: []uint16{0}}},
		{&CopyData{Data: []byte("x")}, &pgproto3.CopyData{Data: []byte("x")}},
		{&CopyDone{}, &pgproto3.CopyDone{}},
		{&DataRow{Values: [][]byte{[]byte("1"), nil, {}, []byte(longText)}}, &pgproto3.DataRow{Values: [][]byte{[]byte("1"), nil, {}, []byte(longText)}}},
		{&DataRow{}, &pgproto3.DataRow{}},
		{&EmptyQueryResponse{}, &pgproto3.EmptyQueryResponse{}},
		{&ErrorResponse{Error: fullError()}, &errorResponse},
		{&NoticeResponse{Error: fullError()}, &noticeResponse},
		{&FunctionCallResponse{Result: []byte("42")}, &pgproto3.FunctionCallResponse{Result: []byte("42")}},
		{&FunctionCallResponse{}, &pgproto3.FunctionCallResponse{}},
		{&NegotiateProtocolVersion{Version: Version32, Unrecognized: []string{"_pq_.a", "_pq_.b"}}, &pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: 196610, UnrecognizedOptions: []string{"_pq_.a", "_pq_.b"}}},
		{&NoData{}, &pgproto3.NoData{}},
		{&NotificationResponse{PID: 5, Channel: "c", Payload: "p"}, &pgproto3.NotificationResponse{PID: 5, Channel: "c", Payload: "p"}},
		{&ParameterDescription{OIDs: []uint32{23, 25}}, &pgproto3.ParameterDescription{ParameterOIDs: []uint32{23, 25}}},
		{&ParameterStatus{Name: "TimeZone", Value: "UTC"}, &pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"}},
		{&ParseComplete{}, &pgproto3.ParseComplete{}},
		{&PortalSuspended{}, &pgproto3.PortalSuspended{}},
		{&ReadyForQuery{TxStatus: TxFailed}, &pgproto3.ReadyForQuery{TxStatus: 'E'}},
		{
			&RowDescription{Fields: []Field{{Name: "a", TableOID: 16384, Column: 1, TypeOID: 23, TypeSize: 4, TypeMod: -1}, {TypeSize: -1, TypeMod: 5, Format: Binary}}},
			&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a"), TableOID: 16384, TableAttributeNumber: 1, DataTypeOID: 23, DataTypeSize: 4, TypeModifier: -1}, {Name: []byte{}, DataTypeSize: -1, TypeModifier: 5, Format: 1}}},
		},
	}
}

// equal treats nil and empty lists alike, which look the same on the wire, but not nil and
// empty values, which do not.
var equal = []cmp.Option{
	cmpopts.IgnoreUnexported(Error{}),
	cmp.FilterPath(func(p cmp.Path) bool {
		_, ok := p.Last().(cmp.SliceIndex)
		return !ok
	}, cmpopts.EquateEmpty()),
}

// TestDifferential encodes each message by both libraries, compares the bytes, and decodes
// what the other one wrote.
func TestDifferential(t *testing.T) {
	check := func(t *testing.T, p pair, header int) {
		t.Helper()
		ours := p.ours.AppendTo(nil)
		theirs, err := p.theirs.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(ours) != len(theirs) || !sameFields(ours, theirs) {
			t.Fatalf("%T:\n ours   %q\n theirs %q", p.ours, ours, theirs)
		}
		got := newOf(p.ours)
		if err := got.Decode(theirs[header:]); err != nil {
			t.Fatalf("%T: we cannot decode theirs: %v", p.ours, err)
		}
		want := newOf(p.ours)
		if err := want.Decode(ours[header:]); err != nil {
			t.Fatalf("%T: we cannot decode ours: %v", p.ours, err)
		}
		if diff := cmp.Diff(want, got, equal...); diff != "" {
			t.Errorf("%T: from theirs:\n%s", p.ours, diff)
		}
		if b := got.AppendTo([]byte("prefix")); !bytes.Equal(b, append([]byte("prefix"), ours...)) {
			t.Errorf("%T: encoded again it is %q", p.ours, b)
		}
		if err := p.theirs.Decode(ours[header:]); err != nil {
			t.Fatalf("%T: they cannot decode ours: %v", p.ours, err)
		}
		again, err := p.theirs.Encode(nil)
		if err != nil || !bytes.Equal(again, theirs) {
			t.Errorf("%T: decoded by them it becomes %q, %v", p.ours, again, err)
		}
	}
	for _, p := range frontendPairs() {
		check(t, p, HeaderLen)
	}
	for _, p := range backendPairs() {
		check(t, p, HeaderLen)
	}
	for _, p := range startupPairs() {
		check(t, p, startupHeaderLen)
	}
}

// sameFields compares two messages; those with error fields may have them in another order.
func sameFields(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if Type(a[0]) != TypeErrorResponse && Type(a[0]) != TypeNoticeResponse || a[0] != b[0] {
		return false
	}
	var x, y Error
	return x.decode("", a[HeaderLen:]) == nil && y.decode("", b[HeaderLen:]) == nil && x == y
}

// newOf returns a new message of m's type.
func newOf(m Message) Message {
	switch m := m.(type) {
	case *PasswordMessage:
		return &PasswordMessage{}
	case *SASLInitialResponse:
		return &SASLInitialResponse{}
	case *SASLResponse:
		return &SASLResponse{}
	case *GSSResponse:
		return &GSSResponse{}
	case StartupPacket:
		got, err := DecodeStartup(m.AppendTo(nil)[startupHeaderLen:])
		if err != nil {
			panic(err)
		}
		return got
	case FrontendMessage:
		b := m.AppendTo(nil)
		got, err := DecodeFrontend(Type(b[0]), b[HeaderLen:])
		if err != nil {
			panic(err)
		}
		return got
	default:
		b := m.AppendTo(nil)
		got, err := DecodeBackend(Type(b[0]), b[HeaderLen:])
		if err != nil {
			panic(err)
		}
		return got
	}
}

// TestEveryTypeHasAPair keeps the table complete.
func TestEveryTypeHasAPair(t *testing.T) {
	for side, pairs := range map[Side][]pair{Frontend: frontendPairs(), Backend: backendPairs()} {
		seen := map[Type]bool{}
		for _, p := range pairs {
			seen[Type(p.ours.AppendTo(nil)[0])] = true
		}
		for b := 1; b < 256; b++ {
			if name := side.Name(Type(b)); (name != "") != seen[Type(b)] {
				t.Errorf("%s type %v (%s): in the table is %v", side, Type(b), name, seen[Type(b)])
			}
		}
	}
}
