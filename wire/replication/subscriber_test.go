package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// describe writes a change in one line.
func describe(ch Change) string {
	tuple := func(t pgoutput.Tuple) string {
		var parts []string
		for i, v := range t {
			text := map[pgoutput.Kind]string{pgoutput.Null: "null", pgoutput.Unchanged: "unchanged"}[v.Kind]
			if v.Data != nil {
				text = string(v.Data[:min(len(v.Data), 10)])
			}
			parts = append(parts, ch.Relation.Columns[i].Name+"="+text)
		}
		return strings.Join(parts, " ")
	}
	switch m := ch.Message.(type) {
	case *pgoutput.Insert:
		return "insert " + ch.Relation.Name + ": " + tuple(m.New)
	case *pgoutput.Update:
		if m.Old != nil {
			return fmt.Sprintf("update %s: %s (was, full %v: %s)", ch.Relation.Name, tuple(m.New), m.Full, tuple(m.Old))
		}
		return "update " + ch.Relation.Name + ": " + tuple(m.New)
	case *pgoutput.Delete:
		return fmt.Sprintf("delete %s (full %v): %s", ch.Relation.Name, m.Full, tuple(m.Old))
	case *pgoutput.Truncate:
		return fmt.Sprintf("truncate %d tables, cascade %v, restart %v", len(m.RelationOIDs), m.Cascade, m.RestartIdentity)
	case *pgoutput.LogicalMessage:
		return fmt.Sprintf("message %s %v: %s", m.Prefix, m.Transactional, m.Content)
	case *pgoutput.Relation:
		return fmt.Sprintf("relation %s.%s %c", m.Schema, m.Name, m.Identity)
	case *pgoutput.Type:
		return fmt.Sprintf("type %s.%s", m.Schema, m.Name)
	case *pgoutput.Prepare:
		return "prepare " + m.GID
	case *pgoutput.CommitPrepared:
		return "commit prepared " + m.GID
	case *pgoutput.RollbackPrepared:
		return "rollback prepared " + m.GID
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", ch.Message), "*pgoutput."))
}

// until returns the descriptions of changes up to one that has the given text.
func until(t *testing.T, sub *Subscriber, text string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var lines []string
	for {
		ch, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("after %q: %v", lines, err)
		}
		lines = append(lines, describe(ch))
		if strings.Contains(lines[len(lines)-1], text) {
			return lines
		}
	}
}

func TestSubscribe(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s := testpg.New(t, major, nil)
			ctx := t.Context()
			s.Exec(t, "postgres",
				"create type mood as enum ('sad', 'happy')",
				"create table a (id int primary key, name text, mood mood)",
				"create table \"B \"\"quoted\"\"\" (x int, big text)",
				"alter table \"B \"\"quoted\"\"\" replica identity full",
				"alter table \"B \"\"quoted\"\"\" alter big set storage external",
				"create table hidden (id int primary key)",
			)
			c := connect(t, s, Logical)
			if err := c.CreatePublication(ctx, Publication{Name: "it's", Tables: []TableName{{"public", "a"}, {Name: `B "quoted"`}}}); err != nil {
				t.Fatal(err)
			}
			tables, err := c.PublicationTables(ctx, "it's")
			if err != nil || !slices.Equal(tables, []TableName{{"public", `B "quoted"`}, {"public", "a"}}) {
				t.Errorf("tables %v, %v", tables, err)
			}
			if _, err := c.CreateSlot(ctx, "s", SlotOptions{Plugin: "pgoutput"}); err != nil {
				t.Fatal(err)
			}
			s.Exec(t, "postgres",
				"insert into a values (1, 'one', 'sad'), (2, null, null)",
				"update a set name = 'eins' where id = 1",
				"update a set id = 3 where id = 2",
				"delete from a where id = 3",
				"insert into hidden values (1)",
				"insert into \"B \"\"quoted\"\"\" values (1, repeat('x', 10000))",
				"update \"B \"\"quoted\"\"\" set x = 2",
				"delete from \"B \"\"quoted\"\"\"",
				"truncate a, \"B \"\"quoted\"\"\" restart identity cascade",
				"select pg_logical_emit_message(true, 'in', 'side'), pg_logical_emit_message(false, 'out', 'side')",
				"update a set name = 'last'", // of no row
				"insert into a values (99, 'end')",
			)
			sub, err := c.Subscribe(ctx, SubscribeOptions{Slot: "s", Publications: []string{"it's"}, Messages: major >= 14, StatusInterval: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(until(t, sub, "id=99"), "\n")
			// Servers before 15 do not leave out transactions that have nothing to say.
			got = strings.ReplaceAll(got, "begin\ncommit\n", "")
			want := `begin
type public.mood
relation public.a d
insert a: id=1 name=one mood=sad
insert a: id=2 name=null mood=null
commit
begin
update a: id=1 name=eins mood=sad
commit
begin
update a: id=3 name=null mood=null (was, full false: id=2 name=null mood=null)
commit
begin
delete a (full false): id=3 name=null mood=null
commit
begin
relation public.B "quoted" f
insert B "quoted": x=1 big=xxxxxxxxxx
commit
begin
update B "quoted": x=2 big=unchanged (was, full true: x=1 big=xxxxxxxxxx)
commit
begin
delete B "quoted" (full true): x=2 big=xxxxxxxxxx
commit
begin
type public.mood
relation public.a d
relation public.B "quoted" f
truncate 2 tables, cascade true, restart true
commit
message out false: side
begin
message in true: side
commit
begin
type public.mood
relation public.a d
insert a: id=99 name=end mood=null`
			if major < 14 {
				want = strings.Replace(want, "message out false: side\nbegin\nmessage in true: side\ncommit\n", "", 1)
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			until(t, sub, "commit")

			// What does not concern the subscription moves the slot all the same, once all
			// that did is acknowledged.
			s.Exec(t, "postgres", "insert into hidden select generate_series(2, 1000)")
			conn := s.Connect(t, "postgres")
			var now string
			if err := conn.QueryRow(ctx, "select pg_current_wal_lsn()").Scan(&now); err != nil {
				t.Fatal(err)
			}
			confirmed := func() (ok bool) {
				if err := conn.QueryRow(ctx, "select confirmed_flush_lsn >= $1::text::pg_lsn from pg_replication_slots", now).Scan(&ok); err != nil {
					t.Fatal(err)
				}
				return ok
			}
			short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			for {
				if ch, err := sub.Next(short); err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Fatal(err)
					}
					break
				} else if ch.Ack != 0 && ch.Relation != nil {
					t.Errorf("unexpected %s", describe(ch))
				}
			}
			cancel()
			if confirmed() {
				t.Error("the slot has moved beyond what was not acknowledged")
			}
			if err := sub.Acknowledge(sub.delivered, true); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			reading, stop := context.WithCancel(ctx)
			go func() {
				defer close(done)
				for {
					if _, err := sub.Next(reading); err != nil {
						return
					}
				}
			}()
			waitFor(t, confirmed)
			stop()
			<-done
			if err := sub.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			if err := c.DropPublication(ctx, "it's"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSubscribeStreamed has transactions that are too large for the server's memory, so that
// it sends them before they end; one of them is rolled back.
func TestSubscribeStreamed(t *testing.T) {
	for _, major := range []int{14, 15, 18} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s := testpg.New(t, major, map[string]string{"logical_decoding_work_mem": "64kB"})
			s.Exec(t, "postgres", "create table t (id int primary key, filler text)", "create publication p for all tables")
			c := connect(t, s, Logical)
			if _, err := c.CreateSlot(t.Context(), "s", SlotOptions{Plugin: "pgoutput"}); err != nil {
				t.Fatal(err)
			}
			o := SubscribeOptions{Slot: "s", Publications: []string{"p"}, Streaming: "on", Messages: true}
			if major >= 16 {
				o.Streaming = "parallel"
			}
			sub, err := c.Subscribe(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			s.Exec(t, "postgres",
				"begin", "insert into t select i, repeat('x', 100) from generate_series(1, 3000) i", "savepoint a",
				"insert into t select i, repeat('x', 100) from generate_series(3001, 6000) i", "rollback to a",
				"insert into t select i, repeat('x', 100) from generate_series(6001, 6100) i", "commit",
				"begin", "insert into t select i, repeat('x', 100) from generate_series(10001, 14000) i", "rollback",
				"insert into t values (0, 'end')",
			)
			// A subscriber that puts the segments together gets what was committed.
			rows := map[uint32]map[uint32][]string{} // by transaction and subtransaction
			var committed []string
			segments, aborts := 0, 0
			for done := false; !done; {
				ch, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				switch m := ch.Message.(type) {
				case *pgoutput.StreamStart:
					segments++
					if m.First {
						rows[m.XID] = map[uint32][]string{}
					}
				case *pgoutput.Insert:
					id := string(m.New[0].Data)
					if ch.Stream == 0 {
						committed = append(committed, id)
						done = id == "0"
						continue
					}
					rows[ch.Stream][ch.XID] = append(rows[ch.Stream][ch.XID], id)
				case *pgoutput.StreamAbort:
					aborts++
					if m.HasLSN != (major >= 16) {
						t.Errorf("abort %+v", m)
					}
					delete(rows[m.XID], m.SubXID)
					if m.XID == m.SubXID {
						delete(rows, m.XID)
					}
				case *pgoutput.StreamCommit:
					if ch.Ack != m.EndLSN || ch.XID != m.XID {
						t.Errorf("%+v", ch)
					}
					for _, ids := range rows[m.XID] {
						committed = append(committed, ids...)
					}
					delete(rows, m.XID)
				}
			}
			if segments < 2 || aborts < 1 || len(rows) != 0 {
				t.Errorf("%d segments, %d aborts, %d transactions left", segments, aborts, len(rows))
			}
			if len(committed) != 3000+100+1 {
				t.Errorf("%d rows", len(committed))
			}
		})
	}
}

func TestSubscribeTwoPhase(t *testing.T) {
	s := testpg.New(t, 15, map[string]string{"max_prepared_transactions": "5"})
	s.Exec(t, "postgres", "create table t (id int primary key)", "create publication p for all tables")
	c := connect(t, s, Logical)
	if _, err := c.CreateSlot(t.Context(), "s", SlotOptions{Plugin: "pgoutput", TwoPhase: true}); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres",
		"begin", "insert into t values (1)", "prepare transaction 'one'",
		"begin", "insert into t values (2)", "prepare transaction 'two'",
		"commit prepared 'one'", "rollback prepared 'two'",
	)
	sub, err := c.Subscribe(t.Context(), SubscribeOptions{Slot: "s", Publications: []string{"p"}, TwoPhase: true})
	if err != nil {
		t.Fatal(err)
	}
	got := until(t, sub, "rollback prepared")
	want := []string{
		"beginprepare", "relation public.t d", "insert t: id=1", "prepare one",
		"beginprepare", "insert t: id=2", "prepare two", "commit prepared one", "rollback prepared two",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestSubscribeResumes loses the connection again and again. What was acknowledged does not
// come again, and everything else does.
func TestSubscribeResumes(t *testing.T) {
	s := testpg.New(t, 15, nil)
	s.Exec(t, "postgres", "create table t (id int primary key)", "create publication p for all tables")
	if _, err := connect(t, s, Logical).CreateSlot(t.Context(), "s", SlotOptions{Plugin: "pgoutput"}); err != nil {
		t.Fatal(err)
	}
	const transactions = 200
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range transactions {
			s.Exec(t, "postgres", fmt.Sprintf("insert into t values (%d)", i))
		}
	}()
	var got []string
	var position wire.LSN // kept together with got, as a real subscriber would on disk
	for life := 0; len(got) < transactions; life++ {
		var c *Conn
		var sub *Subscriber
		waitFor(t, func() bool { // the old walsender may still hold the slot
			c = connect(t, s, Logical)
			var err error
			sub, err = c.Subscribe(t.Context(), SubscribeOptions{Slot: "s", Publications: []string{"p"}, Start: position})
			return err == nil
		})
		var open []string
		for n := 0; n < 10+life && len(got) < transactions; {
			ch, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m, ok := ch.Message.(*pgoutput.Insert); ok {
				open = append(open, string(m.New[0].Data))
			}
			if ch.Ack != 0 {
				got, position, open = append(got, open...), ch.Ack, nil
				n++
				if n%3 == 0 { // the server learns of some only
					if err := sub.Acknowledge(ch.Ack, true); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		switch life % 3 {
		case 0:
			c.nc.Close() // as a kill would
		case 1:
			c.Close()
		default:
			if err := sub.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			c.Close()
		}
	}
	<-written
	for i, id := range got {
		if id != fmt.Sprint(i) {
			t.Fatalf("transaction %d brought row %s", i, id)
		}
	}
}

func TestSubscribeRefused(t *testing.T) {
	tests := []struct {
		server int
		o      SubscribeOptions
	}{
		{90600, SubscribeOptions{Publications: []string{"p"}}},
		{150000, SubscribeOptions{}},
		{130000, SubscribeOptions{Publications: []string{"p"}, Streaming: "on"}},
		{150000, SubscribeOptions{Publications: []string{"p"}, Streaming: "parallel"}},
		{160000, SubscribeOptions{Publications: []string{"p"}, Streaming: "sometimes"}},
		{140000, SubscribeOptions{Publications: []string{"p"}, TwoPhase: true}},
		{150000, SubscribeOptions{Publications: []string{"p"}, TwoPhase: true, Version: 2}},
		{150000, SubscribeOptions{Publications: []string{"p"}, Version: 4}},
		{130000, SubscribeOptions{Publications: []string{"p"}, Binary: true}},
		{150000, SubscribeOptions{Publications: []string{"p"}, Origin: "none"}},
	}
	for _, tt := range tests {
		if p, err := tt.o.plugin(tt.server); err == nil {
			t.Errorf("server %d, %+v: %v", tt.server, tt.o, p)
		}
	}
	s := testpg.New(t, 15, nil)
	c := connect(t, s, Logical)
	if _, err := c.CreateSlot(t.Context(), "s", SlotOptions{Plugin: "pgoutput"}); err != nil {
		t.Fatal(err)
	}
	// A publication that is not there is noticed when the first change comes.
	sub, err := c.Subscribe(t.Context(), SubscribeOptions{Slot: "s", Publications: []string{"none"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres", "create table t (id int primary key)", "insert into t values (1)")
	_, err = sub.Next(t.Context())
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != wire.CodeUndefinedObject {
		t.Errorf("error %v", err)
	}
	if _, err := sub.Next(t.Context()); err != io.EOF {
		t.Errorf("after the error: %v", err)
	}
	if err := sub.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.IdentifySystem(t.Context()); err != nil {
		t.Errorf("the connection: %v", err)
	}
}
