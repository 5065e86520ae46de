package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

// TestPhysicalStream streams WAL and compares it with the server's own files.
func TestPhysicalStream(t *testing.T) {
	const segment = testpg.SegmentSize
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s := testpg.New(t, major, nil)
			c := connect(t, s, Physical)
			ctx := t.Context()
			if _, err := c.CreateSlot(ctx, "phys", SlotOptions{ReserveWAL: true}); err != nil {
				t.Fatal(err)
			}
			sys, err := c.IdentifySystem(ctx)
			if err != nil {
				t.Fatal(err)
			}
			start := sys.Position &^ (segment - 1)
			stream, err := c.StartPhysical(ctx, PhysicalOptions{Slot: "phys", Start: start, Timeline: sys.Timeline, StatusInterval: 10 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			s.Exec(t, "postgres", "create table t as select i, repeat('x', 100) from generate_series(1, 1000) i")
			var end wire.LSN
			conn := s.Connect(t, "postgres")
			var text string
			if err := conn.QueryRow(ctx, "select pg_current_wal_flush_lsn()").Scan(&text); err != nil {
				t.Fatal(err)
			}
			if end, err = wire.ParseLSN(text); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			at := start
			for at < end {
				e, err := stream.Next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if e.XLogData == nil {
					continue
				}
				if e.XLogData.Start != at {
					t.Fatalf("data at %v, want %v", e.XLogData.Start, at)
				}
				got.Write(e.XLogData.Data)
				at += wire.LSN(len(e.XLogData.Data))
			}
			file := filepath.Join(s.Dir, "pg_wal", fmt.Sprintf("%08X%08X%08X", sys.Timeline, uint32(start/(1<<32)), uint32(start%(1<<32)/segment)))
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n := min(int(end-start), segment)
			if !bytes.Equal(got.Bytes()[:n], want[:n]) {
				t.Error("what was streamed is not what is in the file")
			}
			// An acknowledged position arrives without another call of Next.
			if err := stream.Acknowledge(end, false); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool {
				var ok bool
				if err := conn.QueryRow(ctx, "select coalesce(bool_or(flush_lsn >= $1::text::pg_lsn), false) from pg_stat_replication", end.String()).Scan(&ok); err != nil {
					t.Fatal(err)
				}
				return ok
			})
			// Waiting in vain does no harm.
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			for {
				if _, err := stream.Next(short); err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Fatal(err)
					}
					break
				}
			}
			if err := stream.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := c.IdentifySystem(ctx); err != nil {
				t.Errorf("after the stream: %v", err)
			}
			// A stream that cannot begin leaves the connection as it was.
			var e *wire.Error
			if _, err := c.StartPhysical(ctx, PhysicalOptions{Slot: "none", Start: start}); !errors.As(err, &e) || e.Code != wire.CodeUndefinedObject {
				t.Errorf("no slot: %v", err)
			}
			stream, err = c.StartPhysical(ctx, PhysicalOptions{Start: 1 << 60})
			if err == nil { // the server finds out only when it has begun
				_, err = stream.Next(ctx)
			}
			if !errors.As(err, &e) {
				t.Errorf("a position in the future: %v", err)
			}
			if _, err := c.IdentifySystem(ctx); err != nil {
				t.Errorf("after the refusals: %v", err)
			}
		})
	}
}

// waitFor asks until ok is true. The server tells nobody when its views change.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Fatal("waited in vain")
}

// TestStreamSurvivesTimeout has a server that drops clients which it has not heard of for
// 300 ms, and a consumer that takes longer for each event.
func TestStreamSurvivesTimeout(t *testing.T) {
	s := testpg.New(t, 15, map[string]string{"wal_sender_timeout": "300ms"})
	c := connect(t, s, Physical)
	sys, err := c.IdentifySystem(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.StartPhysical(t.Context(), PhysicalOptions{Start: sys.Position, StatusInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres", "create table t ()")
	busy := time.NewTimer(time.Second)
	if _, err := stream.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-busy.C
	s.Exec(t, "postgres", "create table u ()")
	// A server that had dropped us would not send this.
	if e, err := stream.Next(t.Context()); err != nil || e.XLogData == nil {
		t.Fatal(e, err)
	}
	if err := stream.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStreamEnds ends streams from the server's side and by Close.
func TestStreamEnds(t *testing.T) {
	s := testpg.New(t, 15, nil)
	start := func(c *Conn) *Stream {
		sys, err := c.IdentifySystem(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stream, err := c.StartPhysical(t.Context(), PhysicalOptions{Start: sys.Position})
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	untilError := func(stream *Stream) error {
		for {
			if _, err := stream.Next(t.Context()); err != nil {
				return err
			}
		}
	}
	c := connect(t, s, Physical)
	stream := start(c)
	s.Exec(t, "postgres", fmt.Sprintf("select pg_terminate_backend(%d)", c.PID()))
	var e *wire.Error
	if err := untilError(stream); !errors.As(err, &e) || e.Code != wire.CodeAdminShutdown || c.Err() == nil {
		t.Errorf("terminated: %v, connection %v", err, c.Err())
	}
	if err := stream.Stop(t.Context()); err != nil {
		t.Error(err)
	}

	c = connect(t, s, Physical)
	stream = start(c)
	failed := make(chan error)
	go func() { failed <- untilError(stream) }()
	c.Close()
	if err := <-failed; err == nil {
		t.Error("Next goes on after Close")
	}

	// A shutdown ends the stream in order.
	c = connect(t, s, Physical)
	stream = start(c)
	// Until the walsender is in its loop, which it says by sending something, it takes a shutdown
	// as any backend does (HandleWalSndInitStopping in replication/walsender.c).
	s.Exec(t, "postgres", "create table t ()")
	if _, err := stream.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	go s.Stop()
	if err := untilError(stream); err != io.EOF {
		t.Errorf("shutdown: %v", err)
	}
	_ = stream.Stop(t.Context()) // the server may be gone before it has answered
}
