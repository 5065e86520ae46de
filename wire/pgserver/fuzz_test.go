package pgserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

// fuzzHandler can do all that a session may be asked for, and needs no context.
func fuzzHandler() pgserver.Handler {
	copies := &store{rows: [][]string{{"1", "a"}}}
	numbers := &numbers{}
	return withMiddleware(pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		switch {
		case strings.HasPrefix(q.SQL, "copy"):
			return copies.ServeQuery(w, q)
		case strings.HasPrefix(q.SQL, "wait"), len(q.SQL) > 9 && strings.HasPrefix(q.SQL, "count"):
			return wire.Errorf(wire.CodeFeatureNotSupported, "not here")
		case strings.HasPrefix(q.SQL, "both"):
			c, err := w.CopyBoth()
			for err == nil {
				var b []byte
				if b, err = c.Receive(); err == nil {
					err = c.Send(b)
				}
			}
			if err != io.EOF {
				return err
			}
			return nil
		}
		return numbers.ServeQuery(w, q)
	}))
}

func stream(messages ...wire.Message) []byte {
	var b []byte
	for _, m := range messages {
		b = m.AppendTo(b)
	}
	return b
}

// FuzzFrontendStream sends arbitrary bytes in pieces of any size: no panic, bounded memory, an
// end.
func FuzzFrontendStream(f *testing.F) {
	session := wiretest.StartupBytes()
	f.Add(session, uint8(0), false)
	f.Add(stream(&wire.Query{SQL: "count 3; begin; fail"}, &wire.Terminate{}), uint8(3), true)
	f.Add(stream(&wire.Parse{Name: "a", SQL: "echo $1 $2"}, &wire.Bind{Statement: "a", Params: [][]byte{nil, []byte("x")}}, &wire.Describe{Kind: 'P'}, &wire.Execute{MaxRows: 1}, &wire.Execute{}, &wire.Sync{}), uint8(1), true)
	f.Add(stream(&wire.Query{SQL: "copy t from stdin csv"}, &wire.CopyData{Data: []byte("1,a\n2")}, &wire.CopyFail{Message: "no"}, &wire.Query{SQL: "copy t to stdout"}), uint8(200), true)
	f.Add(stream(&wire.Query{SQL: "begin; declare c cursor for count 5; fetch 2 c; set local application_name = x; listen x; notify x"}, &wire.FunctionCall{OID: 1}), uint8(7), true)
	f.Add(stream(&wire.Query{SQL: "both"}, &wire.CopyData{Data: []byte("x")}, &wire.CopyDone{}, &wire.Sync{}), uint8(9), true)
	f.Add([]byte("Q\x7f\xff\xff\xff"), uint8(1), true)
	f.Add((&wire.SSLRequest{}).AppendTo(nil), uint8(2), false)
	f.Fuzz(func(t *testing.T, data []byte, piece uint8, started bool) {
		if started {
			data = append(slices.Clone(session), data...)
		}
		srv := &pgserver.Server{Handler: fuzzHandler(), MaxMessage: 1 << 16, ErrorHook: func(_ *pgserver.Session, err error) *wire.Error {
			if e := wire.AsError(err); e.Message == "internal error" && !bytes.Contains(data, []byte("panic")) {
				t.Error("a panic") // the numbers handler has one on purpose
			}
			return nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := wiretest.Bombard(ctx, srv, data, int(piece)); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
			t.Errorf("the heap grew by %d bytes for %d of input", grown, len(data))
		}
	})
}

// FuzzStateMachine turns bytes into sequences of well-formed messages and compares the types
// of the answers with a small model of the extended protocol.
func FuzzStateMachine(f *testing.F) {
	f.Add([]byte("PBDES"))
	f.Add([]byte("PBESQ"))
	f.Add([]byte("xPBESPBES"))
	f.Add([]byte("PBeeeES"))
	f.Add([]byte("BSPCBSddcfHS"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 200 {
			ops = ops[:200]
		}
		m := model{rows3: "count 3", rows1: "count 1"}
		b := m.all(ops)
		client, closed := wiretest.Pipe(t.Context(), &pgserver.Server{Handler: &numbers{}})
		go func() { _, _ = client.Write(append(wiretest.StartupBytes(), b...)) }()
		p := newPeer(t, client)
		p.until('Z')
		got := p.types()
		client.Close()
		<-closed
		if got != string(m.want) {
			t.Fatalf("%q:\ngot  %s\nwant %s", ops, got, m.want)
		}
	})
}

// The model itself is held against PostgreSQL, with sequences that chance makes.
func TestModelAgainstPostgreSQL(t *testing.T) {
	addr := postgres(t).Addr()
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		ops := make([]byte, random.IntN(40))
		for i := range ops {
			ops[i] = "PPxBBBDEEeeCcQSSHd"[random.IntN(18)]
		}
		m := model{rows3: "select generate_series(1, 3)", rows1: "select 1"}
		b := m.all(ops)
		p := dial(t, addr)
		p.raw(startup(wire.Version30))
		p.until('Z')
		p.raw(b)
		if got := p.types(); got != string(m.want) {
			t.Errorf("%q:\ngot  %s\nwant %s", ops, got, m.want)
		}
		p.nc.Close()
	}
}

// types reads to the end of the connection and returns the messages' types.
func (p *peer) types() string {
	var got []byte
	for {
		typ, _, err := p.next()
		if err != nil {
			return string(got)
		}
		got = append(got, byte(typ))
	}
}

// model knows what the answers to messages are, for one named statement and one portal.
type model struct {
	rows3, rows1  string // queries with three rows and with one
	want          []byte
	statement     bool
	portal        bool
	left          int // rows in the portal
	done, skipped bool
}

// all returns the messages of a whole session.
func (m *model) all(ops []byte) []byte {
	var b []byte
	for _, op := range ops {
		b = m.step(b, op)
	}
	b = m.step(b, 'S') // so that all that is due comes
	return (&wire.Terminate{}).AppendTo(b)
}

// step appends the message an op stands for, and what it brings.
func (m *model) step(b []byte, op byte) []byte {
	say := func(types string) {
		m.want = append(m.want, types...)
	}
	fail := func() {
		say("E")
		m.skipped = true
	}
	live := !m.skipped
	switch op {
	case 'P':
		b = (&wire.Parse{Name: "s", SQL: m.rows3}).AppendTo(b)
		if live {
			if m.statement {
				fail()
			} else {
				m.statement = true
				say("1")
			}
		}
	case 'x':
		b = (&wire.Parse{SQL: "select 1; select 2"}).AppendTo(b)
		if live {
			fail()
		}
	case 'B':
		b = (&wire.Bind{Statement: "s"}).AppendTo(b)
		if live {
			if !m.statement {
				fail()
			} else {
				m.portal, m.left, m.done = true, 3, false
				say("2")
			}
		}
	case 'D':
		b = (&wire.Describe{Kind: 'P'}).AppendTo(b)
		if live {
			if m.portal {
				say("T")
			} else {
				fail()
			}
		}
	case 'E', 'e':
		limit := map[byte]uint32{'E': 0, 'e': 2}[op]
		b = (&wire.Execute{MaxRows: limit}).AppendTo(b)
		if live {
			m.execute(int(limit), say, fail)
		}
	case 'C':
		b = (&wire.Close{Kind: 'S', Name: "s"}).AppendTo(b)
		if live {
			m.statement = false
			say("3")
		}
	case 'c':
		b = (&wire.Close{Kind: 'P'}).AppendTo(b)
		if live {
			m.portal = false
			say("3")
		}
	case 'Q':
		b = (&wire.Query{SQL: m.rows1}).AppendTo(b)
		if live {
			m.portal = false
			say("TDCZ")
		}
	case 'S':
		b = (&wire.Sync{}).AppendTo(b)
		m.skipped, m.portal = false, false
		say("Z")
	case 'H':
		b = (&wire.Flush{}).AppendTo(b)
	case 'd':
		b = (&wire.CopyData{Data: []byte("stray")}).AppendTo(b)
	}
	return b
}

func (m *model) execute(limit int, say func(string), fail func()) {
	if !m.portal {
		fail()
		return
	}
	n := m.left
	if limit > 0 && limit <= n {
		n = limit
		m.left -= n
		say(strings.Repeat("D", n) + "s")
		return
	}
	m.left = 0
	say(strings.Repeat("D", n) + "C")
}

// FuzzTLSUpgradeBoundary cuts an SSLRequest and what comes behind it in two at any place: what
// was not encrypted never becomes a session.
func FuzzTLSUpgradeBoundary(f *testing.F) {
	cert, err := wiretest.Certificate("localhost")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(8), []byte{})
	f.Add(uint8(3), []byte{})
	f.Add(uint8(8), wiretest.StartupBytes())
	f.Add(uint8(20), wiretest.StartupBytes())
	f.Fuzz(func(t *testing.T, cut uint8, injected []byte) {
		if len(injected) > 1000 {
			return
		}
		srv := &pgserver.Server{Handler: &numbers{}, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
		client, closed := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- srv.ServeConn(t.Context(), closed) }()
		defer func() {
			client.Close()
			<-ended //nolint:errcheck // only that it ends
		}()
		_ = client.SetDeadline(time.Now().Add(2 * time.Minute))
		b := append((&wire.SSLRequest{}).AppendTo(nil), injected...)
		at := min(int(cut), len(b))
		first, second := b[:at], b[at:]
		// The pieces go out while the answer is read: a pipe has no buffer.
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			_, _ = client.Write(first)
			if at >= 8 {
				return // the rest would be part of the handshake
			}
			_, _ = client.Write(second)
		}()
		var answer [1]byte
		if _, err := io.ReadFull(client, answer[:]); err != nil || answer[0] != 'S' {
			t.Fatalf("answer %q, %v", answer, err)
		}
		tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		if err := tc.Handshake(); err != nil {
			return // bytes that came late were taken for a broken handshake
		}
		<-wrote
		smuggled := at > 8 || at < 8 && len(injected) > 0
		go func() { _, _ = tc.Write(wiretest.StartupBytes()) }()
		typ, m, err := newPeer(t, tc).next()
		if !smuggled {
			if err != nil || typ != wire.TypeAuthentication {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		if e, ok := m.(*wire.ErrorResponse); err == nil && (!ok || e.Error.Code != wire.CodeProtocolViolation) {
			t.Fatalf("cut at %d, %d bytes injected: got %+v", cut, len(injected), m)
		}
	})
}

// fuzzCopy decodes arbitrary bytes, in pieces of any size: no panic, the same rows whatever
// the pieces, and what was decoded survives encoding and decoding.
func fuzzCopy(f *testing.F, format pgserver.CopyFormat, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		decode := func(r io.Reader) (string, [][][]byte, error) {
			d := pgserver.NewCopyDecoder(r, format, 0)
			var rows [][][]byte
			for {
				row, err := d.Next()
				if err == io.EOF {
					return fmt.Sprintf("%q", rows), rows, nil
				}
				if err != nil {
					var e *wire.Error
					if !errors.As(err, &e) {
						t.Fatalf("an error of type %T", err)
					}
					return fmt.Sprintf("%q %s", rows, e.Message), rows, err
				}
				if rows = append(rows, make([][]byte, len(row))); len(rows) > 10000 {
					return "", nil, io.ErrShortBuffer
				}
				for i, v := range row {
					if v != nil {
						rows[len(rows)-1][i] = append([]byte{}, v...)
					}
				}
			}
		}
		whole, rows, err := decode(bytes.NewReader(data))
		inPieces, _, _ := decode(&pieces{data, int(size%7) + 1})
		if whole != inPieces {
			t.Fatalf("at once:   %s\nin pieces: %s", whole, inPieces)
		}
		if err != nil {
			return
		}
		out := format.AppendHeader(nil)
		for _, row := range rows {
			out = format.AppendRow(out, row)
		}
		if again, _, err := decode(bytes.NewReader(format.AppendTrailer(out))); again != whole {
			t.Fatalf("%q came back as %s, not %s (%v)", out, again, whole, err)
		}
	})
}

func FuzzCopyText(f *testing.F) {
	fuzzCopy(f, pgserver.CopyFormat{}, "a\tb\n\\N\t\\\\\n", "\\x41\\101\r\n\\.\n", "a\\\nb\r\rc")
}

func FuzzCopyCSV(f *testing.F) {
	fuzzCopy(f, pgserver.CopyFormat{Kind: pgserver.CopyCSV, Escape: '\\'}, "a,b\n\"x\ny\",\n", "\"\\\"\\\\\",,\"\"\r\n", "\\.\n")
}

func FuzzCopyBinary(f *testing.F) {
	head := "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	fuzzCopy(f, pgserver.CopyFormat{Kind: pgserver.CopyBinary}, head+"\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01x\xff\xff", head+"\xff\xff", head+"\x00\x01\x7f\xff\xff\xff")
}

// FuzzParam decodes arbitrary parameters of every type in both formats: no panic, and an error
// has a code.
func FuzzParam(f *testing.F) {
	f.Add(uint32(pgtype.Int4OID), true, []byte{0, 0, 0, 1})
	f.Add(uint32(pgtype.TimestamptzOID), false, []byte("2024-01-01 00:00:00+00"))
	f.Add(uint32(pgtype.Int4ArrayOID), false, []byte("{1,2,{3}}"))
	f.Add(uint32(pgtype.NumericOID), true, []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 5})
	var value pgserver.Value
	seen := make(chan error, 1)
	srv := wiretest.NewServer(pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		v := value
		v = q.Session.TextValue(v.Type, "").With(v.Format, v.Data)
		_, err := v.Any()
		var s string
		if scanErr := v.Scan(&s); err == nil && v.Type == pgtype.TextOID {
			err = scanErr
		}
		seen <- err
		return w.Complete("OK")
	}))
	f.Cleanup(srv.Close)
	p := open(f, srv.Addr())
	_ = p.nc.SetDeadline(time.Time{})
	f.Fuzz(func(t *testing.T, oid uint32, binary bool, data []byte) {
		p.t = t
		value = pgserver.Value{Type: oid, Data: data}
		if binary {
			value.Format = wire.Binary
		}
		p.send(query("x"))
		if got := p.until('Z'); got != "C(OK) ZI" {
			t.Fatalf("got %s", got)
		}
		if err := <-seen; err != nil {
			// A value is refused by an error about data (class 22), nothing else.
			if e := wire.AsError(err); !strings.HasPrefix(string(e.Code), "22") {
				t.Fatalf("%v", err)
			}
		}
	})
}
