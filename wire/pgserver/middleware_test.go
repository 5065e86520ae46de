package pgserver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

func withMiddleware(h pgserver.Handler) pgserver.Handler {
	return pgserver.Chain(h, pgserver.Settings, pgserver.Notifications, pgserver.Cursors)
}

func TestSettings(t *testing.T) {
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: withMiddleware(&numbers{}), Params: map[string]string{"server_version": "99.9", "my.own": "x"}})),
		wire.Param{Name: "options", Value: "-c IntervalStyle=iso_8601"}, wire.Param{Name: "application_name", Value: "täst"})
	tests := []struct{ sql, want string }{
		{"show server_version", "T D(99.9) C(SHOW) ZI"},
		{"show application_name", "T D(t?st) C(SHOW) ZI"},
		{"SET application_name TO 'x'", "C(SET) S(application_name=x) ZI"},
		{"set application_name = 'x'", "C(SET) ZI"}, // nothing new
		{"set datestyle to german, ymd", "C(SET) S(DateStyle=German, YMD) ZI"},
		{"set datestyle = iso", "C(SET) S(DateStyle=ISO, YMD) ZI"},
		{"reset datestyle", "C(RESET) S(DateStyle=ISO, MDY) ZI"},
		{"set time zone 'Europe/Paris'", "C(SET) S(TimeZone=Europe/Paris) ZI"},
		{"show time zone", "T D(Europe/Paris) C(SHOW) ZI"},
		{"set timezone = +2", "C(SET) S(TimeZone=<+02>-02) ZI"},
		{"set timezone = 'Moon/Base'", "ERROR:22023 ZI"},
		{"set extra_float_digits = 3", "C(SET) ZI"},
		{"set extra_float_digits = 4", "ERROR:22023 ZI"},
		{"set client_encoding = 'LATIN1'", "ERROR:22023 ZI"},
		{"set standard_conforming_strings = off", "ERROR:22023 ZI"},
		{"set server_version = '1'", "ERROR:55P02 ZI"},
		{"set custom.thing = -5", "C(SET) ZI"},
		{"show custom.thing", "T D(-5) C(SHOW) ZI"},
		{"show what", "ERROR:42704 ZI"},
		{"show my.own", "T D(x) C(SHOW) ZI"},
		{"set x", "ERROR:42601 ZI"},
		{"begin", "C(BEGIN) ZT"},
		{"set local application_name = 'local'", "C(SET) S(application_name=local) ZT"},
		{"set bytea_output = escape", "C(SET) ZT"},
		{"rollback", "C(ROLLBACK) S(application_name=x) ZI"},
		{"show bytea_output", "ERROR:42704 ZI"},
		{"begin; set local application_name = 'l'; set intervalstyle = postgres; commit", "C(BEGIN) C(SET) C(SET) C(COMMIT) S(IntervalStyle=postgres) ZI"},
		{"discard all", "C(DISCARD ALL) S(IntervalStyle=iso_8601) S(TimeZone=UTC) S(application_name=t?st) ZI"},
		{"deallocate nothing", "ERROR:26000 ZI"},
		{"count 1", "T D(1) C(SELECT 1) ZI"},
	}
	for _, tt := range tests {
		p.send(query(tt.sql))
		if got := p.until('Z'); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.sql, got, tt.want)
		}
	}
	p.send(&wire.Parse{Name: "s", SQL: "count 1"}, &wire.Parse{Name: "d", SQL: "deallocate s"}, &wire.Describe{Kind: 'S', Name: "d"}, &wire.Bind{Statement: "d"}, &wire.Execute{}, &wire.Bind{Statement: "s"}, &wire.Sync{})
	if got := p.until('Z'); got != "1 1 t n 2 C(DEALLOCATE) ERROR:26000 ZI" {
		t.Errorf("got %s", got)
	}
}

func TestNotifications(t *testing.T) {
	url := start(t, &pgserver.Server{Handler: withMiddleware(&numbers{})})
	a, b := open(t, addrOf(url)), open(t, addrOf(url))
	step := func(p *peer, sql, want string) {
		t.Helper()
		p.send(query(sql))
		if got := p.until('Z'); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", sql, got, want)
		}
	}
	step(a, `listen "Mixed"; listen plain`, "C(LISTEN) C(LISTEN) ZI")
	step(b, `notify "Mixed", 'it''s'`, "C(NOTIFY) ZI")
	if got := a.until('A'); got != "A(Mixed,it's)" { // it was idle
		t.Errorf("got %s", got)
	}
	step(a, "notify plain, 'self'", "C(NOTIFY) A(plain,self) ZI")
	// Not while in a transaction, neither out nor in.
	step(a, "begin", "C(BEGIN) ZT")
	step(b, "begin", "C(BEGIN) ZT")
	step(b, "notify plain, 'lost'", "C(NOTIFY) ZT")
	step(b, "rollback", "C(ROLLBACK) ZI")
	step(b, "notify plain, 'kept'", "C(NOTIFY) ZI")
	step(a, "count 0", "T C(SELECT 0) ZT")
	step(a, "commit", "C(COMMIT) A(plain,kept) ZI")
	step(a, "begin; unlisten *; rollback; notify plain", "C(BEGIN) C(UNLISTEN) C(ROLLBACK) C(NOTIFY) A(plain,) ZI")
	step(a, "unlisten plain; notify plain", "C(UNLISTEN) C(NOTIFY) ZI")
	step(a, "listen", "ERROR:42601 ZI")
	step(a, "notify x, '"+strings.Repeat("y", 8000)+"'", "ERROR:22023 ZI")
	step(a, "listen "+strings.Repeat("y", 64), "ERROR:22023 ZI")
	b.nc.Close()
}

func TestCursors(t *testing.T) {
	h := &numbers{}
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: withMiddleware(h)})))
	tests := []struct{ sql, want string }{
		{"declare c cursor for count 5", "ERROR:25P01 ZI"},
		{"begin; declare c no scroll cursor without hold for count 5", "C(BEGIN) C(DECLARE CURSOR) ZT"},
		{"fetch c", "T D(1) C(FETCH 1) ZT"},
		{"fetch forward 2 from c; move 1 in c", "T D(2) D(3) C(FETCH 2) C(MOVE 1) ZT"},
		{"fetch 0 c", "T C(FETCH 0) ZT"},
		{"fetch all c", "T D(5) C(FETCH 1) ZT"},
		{"fetch next from c", "T C(FETCH 0) ZT"},
		{"close c", "C(CLOSE CURSOR) ZT"},
		{"fetch c", "ERROR:34000 ZE"},
		{"rollback", "C(ROLLBACK) ZI"},
		{"begin; declare a cursor for count 3; declare b cursor for count 3; fetch a; fetch 2 b; fetch a", "C(BEGIN) C(DECLARE CURSOR) C(DECLARE CURSOR) T D(1) C(FETCH 1) T D(1) D(2) C(FETCH 2) T D(2) C(FETCH 1) ZT"},
		{"commit", "C(COMMIT) ZI"},
		{"fetch a", "ERROR:34000 ZI"},
		{"begin; declare s scroll cursor for count 1", "C(BEGIN) ERROR:0A000 ZE"},
		{"rollback; begin; declare s cursor for begin", "C(ROLLBACK) C(BEGIN) ERROR:42P11 ZE"},
		{"rollback; begin; declare s cursor for nonsense", "C(ROLLBACK) C(BEGIN) ERROR:42601 ZE"},
		{"rollback; begin; declare s cursor for count 2; fetch backward 1 s", "C(ROLLBACK) C(BEGIN) C(DECLARE CURSOR) ERROR:55000 ZE"},
		{"rollback", "C(ROLLBACK) ZI"},
	}
	for _, tt := range tests {
		p.send(query(tt.sql))
		if got := p.until('Z'); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.sql, got, tt.want)
		}
	}
}

// Values that sessions carry are typed, and none of another's business.
func TestSessionValues(t *testing.T) {
	key := pgserver.NewKey[int]("visits")
	var ended []string
	h := &visits{key: key, ended: make(chan string, 10)}
	url := start(t, &pgserver.Server{Handler: h})
	a, b := open(t, addrOf(url)), open(t, addrOf(url))
	for i := range 3 {
		a.send(query("x"))
		if got := a.until('Z'); got != fmt.Sprintf("C(%d) ZI", i+1) {
			t.Errorf("got %s", got)
		}
	}
	b.send(query("x"))
	if got := b.until('Z'); got != "C(1) ZI" {
		t.Errorf("got %s", got)
	}
	a.send(&wire.Terminate{})
	ended = append(ended, <-h.ended)
	if fmt.Sprint(ended) != "[joe after 3]" {
		t.Errorf("%v", ended)
	}
	p := dial(t, addrOf(url))
	p.send(&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "unwelcome"}}})
	if got := p.end(); !strings.HasSuffix(got, "FATAL:42501 closed") || strings.Contains(got, " ZI") {
		t.Errorf("got %s", got)
	}
}

type visits struct {
	key   *pgserver.Key[int]
	ended chan string
}

func (h *visits) StartSession(s *pgserver.Session) error {
	if s.User() == "unwelcome" {
		return wire.Errorf(wire.CodeInsufficientPrivilege, "not you")
	}
	h.key.Set(s, 0)
	return nil
}

func (h *visits) EndSession(s *pgserver.Session) {
	n, _ := h.key.Get(s)
	h.ended <- fmt.Sprintf("%s after %d", s.User(), n)
}

func (h *visits) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	n, _ := h.key.Get(q.Session)
	h.key.Set(q.Session, n+1)
	return w.Complete(fmt.Sprint(n + 1))
}

func (h *visits) CallFunction(_ context.Context, s *pgserver.Session, oid uint32, args []pgserver.Value, f wire.Format) ([]byte, error) {
	if oid != 7 {
		return nil, wire.Errorf(wire.CodeUndefinedFunction, "function with OID %d does not exist", oid)
	}
	return []byte(s.User() + args[0].String()), nil
}

func TestFunctionCall(t *testing.T) {
	p := open(t, addrOf(start(t, &pgserver.Server{Handler: &visits{key: pgserver.NewKey[int]("x"), ended: make(chan string, 1)}})))
	p.send(&wire.FunctionCall{OID: 7, Args: [][]byte{[]byte("!")}})
	typ, m, err := p.next()
	if r, ok := m.(*wire.FunctionCallResponse); err != nil || !ok || string(r.Result) != "joe!" {
		t.Errorf("%v %v %v", typ, m, err)
	}
	if got := p.until('Z'); got != "ZI" {
		t.Errorf("got %s", got)
	}
	p.send(&wire.FunctionCall{OID: 8})
	if got := p.until('Z'); got != "ERROR:42883 ZI" {
		t.Errorf("got %s", got)
	}
}

// Notices carry every field, come at any time, and are never taken for errors.
func TestNotices(t *testing.T) {
	full := &wire.Error{
		Severity: wire.SeverityWarning, Code: "01004", Message: "m", Detail: "d", Hint: "h", Position: 3, InternalPosition: 4, InternalQuery: "iq",
		Where: "w", Schema: "s", Table: "t", Column: "c", DataType: "dt", Constraint: "cn", File: "f", Line: 5, Routine: "r",
	}
	url := start(t, &pgserver.Server{Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if err := w.Notice(full); err != nil {
			return err
		}
		if err := w.Notice(&wire.Error{Message: "plain"}); err != nil { // severity ERROR by its zero value
			return err
		}
		return w.Complete("OK")
	})})
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	var got []pgconn.Notice
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { got = append(got, *n) }
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.PgConn().Exec(t.Context(), "x").Close(); err != nil {
		t.Fatal(err)
	}
	want := pgconn.Notice{
		Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: "01004", Message: "m", Detail: "d", Hint: "h", Position: 3, InternalPosition: 4,
		InternalQuery: "iq", Where: "w", SchemaName: "s", TableName: "t", ColumnName: "c", DataTypeName: "dt", ConstraintName: "cn", File: "f", Line: 5, Routine: "r",
	}
	if len(got) != 2 || got[0] != want || got[1].Severity != "NOTICE" || got[1].Code != "00000" {
		t.Errorf("got %+v", got)
	}
}
