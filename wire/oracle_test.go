package wire

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

// TestPostgresSaysTheSame sends messages that are wrong to PostgreSQL, and expects what our
// decoder says of them. (A Bind with a count of -1 is not among them: PostgreSQL takes it for
// 65,535 and complains that the statement has not that many parameters.)
func TestPostgresSaysTheSame(t *testing.T) {
	s := testpg.New(t, 15, nil)
	nc, err := net.Dial("unix", filepath.Join(s.Socket, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r, w := NewReader(nc, Backend, 0), NewWriter(nc)
	var dec BackendDecoder
	// answer returns the first error before the next ReadyForQuery.
	answer := func() *Error {
		t.Helper()
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		var first *Error
		for {
			f, err := r.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			m, err := dec.Decode(f.Type, f.Body)
			if err != nil {
				t.Fatal(err)
			}
			switch m := m.(type) {
			case *ErrorResponse:
				if first == nil {
					first = &m.Error
				}
			case *ReadyForQuery:
				return first
			}
		}
	}
	send := func(m Message) {
		t.Helper()
		if err := w.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	send(&StartupMessage{Version: Version30, Params: []Param{{"user", "postgres"}}})
	if err := answer(); err != nil {
		t.Fatal(err)
	}
	send(&Parse{SQL: "select $1::int"})
	send(&Sync{})
	if err := answer(); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		t    Type
		body string
	}{
		{TypeQuery, ""},
		{TypeQuery, "select 1"},
		{TypeQuery, "select 1\x00x"},
		{TypeParse, "s\x00select 1\x00"},
		{TypeParse, "s\x00select 1\x00\x00\x01\x00\x00\x00"},
		{TypeParse, "s\x00select 1\x00\x00\x00x"},
		{TypeBind, "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00"},
		{TypeBind, "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x05ab\x00\x00"},
		{TypeBind, "\x00\x00\x00\x02\x00\x00\x00\x01\x00\x01\xff\xff\xff\xff\x00\x00"},
		{TypeBind, "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00x"},
		{TypeBind, "portal"},
		{TypeDescribe, ""},
		{TypeDescribe, "X\x00"},
		{TypeDescribe, "S\x00x"},
		{TypeClose, "s\x00"},
		{TypeExecute, "\x00\x00\x00\x00"},
		{TypeExecute, "\x00\x00\x00\x00\x00x"},
		{TypeFlush, "x"},
	}
	for _, tt := range tests {
		b, at := Begin(w.Buffer(), tt.t)
		b, err := End(append(b, tt.body...), at)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(b); err != nil {
			t.Fatal(err)
		}
		if tt.t != TypeQuery {
			send(&Sync{})
		}
		theirs := answer()
		_, err = DecodeFrontend(tt.t, []byte(tt.body))
		ours := AsError(err)
		switch {
		case theirs == nil || ours == nil:
			t.Errorf("%v %q: PostgreSQL says %v, we say %v", tt.t, tt.body, theirs, ours)
		case theirs.Code != ours.Code || theirs.Message != ours.Message || theirs.Severity != ours.Severity:
			t.Errorf("%v %q:\n PostgreSQL says %v\n we say %v", tt.t, tt.body, theirs, ours)
		}
	}
}
