package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/wire"
)

// talk feeds a dialogue, in pieces of the given size, and returns the events as text.
func talk(t *testing.T, tr *Tracker, size int, messages ...wire.Message) []string {
	t.Helper()
	var out []string
	note := func(e Event) {
		text := e.Kind.String()
		for _, s := range []string{e.Name, e.Value, e.Tag, string(e.Code)} {
			if s != "" {
				text += " " + s
			}
		}
		if e.Statement != nil {
			text += " " + e.Statement.Name + ":" + e.Statement.SQL
		}
		if e.Kind == Ready {
			text += " " + string(e.Tx)
		}
		out = append(out, text)
	}
	for _, m := range messages {
		side := wire.Backend
		if _, ok := m.(wire.FrontendMessage); ok {
			side = wire.Frontend
		}
		if _, both := m.(*wire.CopyData); both && tr.Copying() == wire.TypeCopyOutResponse {
			side = wire.Backend
		}
		b, err := wire.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		for piece := range slices.Chunk(b, size) {
			if err := tr.Feed(side, piece, note); err != nil {
				t.Fatalf("%T: %v", m, err)
			}
		}
	}
	return out
}

func TestExtendedProtocol(t *testing.T) {
	for _, size := range []int{1, 3, 7, 1000} {
		tr := &Tracker{}
		got := talk(t, tr, size,
			&wire.ParameterStatus{Name: "TimeZone", Value: "UTC"},
			&wire.BackendKeyData{PID: 7, Key: []byte{1, 2, 3, 4}},
			&wire.ReadyForQuery{TxStatus: wire.TxIdle},
			&wire.Parse{Name: "a", SQL: "select $1", ParamOIDs: []uint32{23}},
			&wire.Describe{Kind: wire.StatementKind, Name: "a"},
			&wire.Bind{Portal: "p", Statement: "a", Params: [][]byte{[]byte(strings.Repeat("x", 9000))}},
			&wire.Execute{Portal: "p", MaxRows: 1},
			&wire.Sync{},
			&wire.ParseComplete{},
			&wire.ParameterDescription{OIDs: []uint32{23}},
			&wire.RowDescription{Fields: []wire.Field{{Name: "n", TypeOID: 23}}},
			&wire.BindComplete{},
			&wire.DataRow{Values: [][]byte{[]byte("1")}},
			&wire.PortalSuspended{},
		)
		if p := tr.Portals["p"]; p == nil || !p.Suspended || p.Statement != tr.Statements["a"] || tr.Pending() != 1 || tr.Idle() {
			t.Errorf("portal %+v, pending %d", p, tr.Pending())
		}
		got = append(got, talk(t, tr, size, &wire.ReadyForQuery{TxStatus: wire.TxIdle})...)
		want := []string{
			"reported TimeZone UTC", "ready I", "asked a", "asked a", "asked p", "asked p", "asked",
			"prepared a:select $1", "described a:select $1", "bound", "suspended", "ready I",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("size %d: %s", size, d)
		}
		s := tr.Statements["a"]
		if s.SQL != "select $1" || s.ParamTypes[0] != 23 || !s.Described || s.Params[0] != 23 || s.Fields[0].Name != "n" {
			t.Errorf("statement %+v", s)
		}
		if len(tr.Portals) != 0 || !tr.Idle() || tr.PID != 7 || len(tr.Key) != 4 || tr.Reported["TimeZone"] != "UTC" {
			t.Errorf("state %+v", tr.State)
		}
	}
}

// An error takes the requests behind it, also those that the client sends after it.
func TestErrorSkipsToSync(t *testing.T) {
	tr := &Tracker{}
	talk(t, tr, 100,
		&wire.ReadyForQuery{TxStatus: wire.TxIdle},
		&wire.Parse{Name: "good", SQL: "select 1"}, &wire.Parse{Name: "bad", SQL: "x"}, &wire.Parse{Name: "skipped", SQL: "select 2"},
		&wire.ParseComplete{},
		&wire.ErrorResponse{Error: wire.Error{Code: "42601", Message: "no"}},
		&wire.Close{Kind: wire.StatementKind, Name: "good"}, // on its way when the error came
		&wire.Sync{},
		&wire.Parse{Name: "next", SQL: "select 3"}, &wire.Sync{},
		&wire.ReadyForQuery{TxStatus: wire.TxIdle},
		&wire.ParseComplete{},
		&wire.ReadyForQuery{TxStatus: wire.TxIdle},
	)
	var names []string
	for name := range tr.Statements {
		names = append(names, name)
	}
	slices.Sort(names)
	if fmt.Sprint(names) != "[good next]" || !tr.Idle() {
		t.Errorf("statements %v, pending %d", names, tr.Pending())
	}
}

func TestUnnamed(t *testing.T) {
	tr := &Tracker{}
	talk(t, tr, 100, &wire.ReadyForQuery{TxStatus: wire.TxIdle},
		&wire.Parse{SQL: "select 1"}, &wire.Sync{}, &wire.ParseComplete{}, &wire.ReadyForQuery{TxStatus: wire.TxIdle})
	if tr.Statements[""].SQL != "select 1" {
		t.Errorf("unnamed: %+v", tr.Statements[""])
	}
	talk(t, tr, 100, &wire.Parse{SQL: "nonsense"}, &wire.Sync{},
		&wire.ErrorResponse{Error: wire.Error{Code: "42601"}}, &wire.ReadyForQuery{TxStatus: wire.TxIdle})
	if tr.Statements[""] != nil {
		t.Error("the unnamed statement outlived a failed Parse")
	}
	talk(t, tr, 100, &wire.Parse{SQL: "select 2"}, &wire.Sync{}, &wire.ParseComplete{}, &wire.ReadyForQuery{TxStatus: wire.TxIdle},
		&wire.Query{SQL: "select 3"}, &wire.CommandComplete{Tag: "SELECT 1"}, &wire.ReadyForQuery{TxStatus: wire.TxIdle})
	if tr.Statements[""] != nil {
		t.Error("the unnamed statement outlived a simple query")
	}
}

func TestTransactionsUndo(t *testing.T) {
	run := func(tr *Tracker, tag string, status wire.TxStatus) {
		talk(t, tr, 100, &wire.Query{SQL: tag}, &wire.CommandComplete{Tag: tag}, &wire.ReadyForQuery{TxStatus: status})
	}
	tests := []struct {
		end  string
		want string
	}{
		{"COMMIT", "map[a:2 b:1] [new]"},
		{"ROLLBACK", "map[a:1 b:1] [old]"},
	}
	for _, tt := range tests {
		tr := &Tracker{}
		talk(t, tr, 100, &wire.ReadyForQuery{TxStatus: wire.TxIdle})
		tr.SetParam("a", "1", false)
		tr.SetParam("b", "1", false)
		tr.SetParam("c", "0", true) // outside of a transaction: no effect
		tr.Listen("old")
		run(tr, "BEGIN", wire.TxActive)
		tr.SetParam("a", "2", false)
		tr.SetParam("b", "2", true)
		tr.SetParam("d", "2", true)
		tr.Unlisten("")
		tr.Listen("new")
		if got := fmt.Sprint(tr.Params); got != "map[a:2 b:2 d:2]" {
			t.Errorf("inside: %s", got)
		}
		run(tr, tt.end, wire.TxIdle)
		if got := fmt.Sprint(tr.Params, tr.ListenNames()); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.end, got, tt.want)
		}
	}
}

func TestTagsAndCopy(t *testing.T) {
	tr := &Tracker{}
	talk(t, tr, 100, &wire.ReadyForQuery{TxStatus: wire.TxIdle})
	tr.Prepare("s", "select 1")
	tr.Listen("c")
	tr.SetParam("x", "y", false)
	got := talk(t, tr, 5,
		&wire.Query{SQL: "copy t to stdout"}, &wire.CopyOutResponse{}, &wire.CopyData{Data: []byte(strings.Repeat("z", 100))}, &wire.CommandComplete{Tag: "COPY 1"},
		&wire.ReadyForQuery{TxStatus: wire.TxIdle})
	if d := cmp.Diff([]string{"asked", "copy started", "copy ended", "completed COPY 1", "ready I"}, got); d != "" {
		t.Error(d)
	}
	talk(t, tr, 100, &wire.Query{SQL: "discard all"}, &wire.CommandComplete{Tag: "DISCARD ALL"}, &wire.ReadyForQuery{TxStatus: wire.TxIdle})
	if len(tr.Statements)+len(tr.Params)+len(tr.Channels) != 0 {
		t.Errorf("after DISCARD ALL: %+v", tr.State)
	}
}

func TestAnswerWithoutQuestion(t *testing.T) {
	for _, m := range []wire.Message{&wire.ParseComplete{}, &wire.BindComplete{}, &wire.CloseComplete{}, &wire.NoData{}, &wire.CommandComplete{Tag: "X"}} {
		tr := &Tracker{}
		if err := tr.Feed(wire.Backend, m.AppendTo(nil), func(Event) {}); err == nil {
			t.Errorf("%T was taken", m)
		}
	}
}

// FuzzTracker feeds arbitrary bytes from both sides: no panic, bounded memory, and the size of
// the pieces must not matter.
func FuzzTracker(f *testing.F) {
	var fe, be []byte
	for _, m := range []wire.Message{&wire.Parse{Name: "a", SQL: "select 1"}, &wire.Bind{Statement: "a"}, &wire.Execute{}, &wire.Sync{}, &wire.Query{SQL: "x"}} {
		fe = m.AppendTo(fe)
	}
	for _, m := range []wire.Message{&wire.ParseComplete{}, &wire.BindComplete{}, &wire.CommandComplete{Tag: "SELECT 1"}, &wire.ReadyForQuery{TxStatus: 'T'}, &wire.ErrorResponse{Error: wire.Error{Code: "22012"}}} {
		be = m.AppendTo(be)
	}
	f.Add(fe, be, uint8(1))
	f.Add(be, fe, uint8(3))
	f.Fuzz(func(t *testing.T, fe, be []byte, size uint8) {
		run := func(size int) (string, *Tracker) {
			tr := &Tracker{}
			var events strings.Builder
			for piece := range slices.Chunk(fe, size) {
				if err := tr.Feed(wire.Frontend, piece, func(e Event) { fmt.Fprintln(&events, e.Kind, e.Type, e.Name, e.SQL) }); err != nil {
					break
				}
			}
			for piece := range slices.Chunk(be, size) {
				if err := tr.Feed(wire.Backend, piece, func(e Event) { fmt.Fprintln(&events, e.Kind, e.Name, e.Value, e.Tag, e.Tx) }); err != nil {
					break
				}
			}
			return events.String(), tr
		}
		a, tr := run(int(size%16) + 1)
		b, _ := run(1 << 20)
		if a != b {
			t.Fatalf("in pieces:\n%s\nat once:\n%s", a, b)
		}
		if len(tr.fe.body)+len(tr.be.body) > len(fe)+len(be) {
			t.Fatal("more is kept than was fed")
		}
	})
}
