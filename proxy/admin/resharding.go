package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A Mover is a [Proxy] that can move databases to other shards.
type Mover interface {
	// Move carries out RESHARD, COPY_DATA, REPLICATE, SCHEMA_SYNC, CUTOVER or STOP_TASK. The first four
	// return at once, with the number of a task and the name of its replication slot, if it has one.
	Move(ctx context.Context, c Command) (task int64, slot string, err error)
	// Tasks, TableCopies, Slots and SchemaSyncs are what there is to show of it.
	Tasks() []Task
	TableCopies() []TableCopy
	Slots() []Slot
	SchemaSyncs() []SchemaSync
}

// A Task is one that runs in the background, or has run.
type Task struct {
	ID                  int64 // 0: it is a part of the one before
	Type, Status, Inner string
	Started, Updated    time.Time
	Elapsed             time.Duration
}

// A TableCopy is the copy of a table of one shard.
type TableCopy struct {
	Schema, Table, Status, SQL string
	Rows, Bytes                int64
	Elapsed                    time.Duration
}

// A Slot is a replication slot that is followed. Lag is in bytes; negative if it is not known.
type Slot struct {
	Host                string
	Port                int
	Database, Name, LSN string
	Lag                 int64
	Copy                bool
	Last                time.Time
}

// A SchemaSync is a statement that makes something on a shard.
type SchemaSync struct {
	Database, User     string
	Shard              int
	Kind, State        string
	Started            time.Time
	Elapsed            time.Duration
	Schema, Table, SQL string
}

// moves reports whether a command is one of a [Mover], and whether it starts a task.
func moves(verb string) (is, starts bool) {
	switch verb {
	case "RESHARD", "COPY_DATA", "REPLICATE", "SCHEMA_SYNC":
		return true, true
	case "CUTOVER", "STOP_TASK":
		return true, false
	}
	return false, false
}

// move has a database moved.
func (c *Console) move(w pgserver.ResponseWriter, q *pgserver.Query, m Mover, cmd Command, starts bool) error {
	id, slot, err := m.Move(q.Context(), cmd)
	if err != nil {
		return err
	}
	if !starts {
		return w.Complete(cmd.Verb)
	}
	cols, values := []pgserver.Column{pgserver.Int8("task_id")}, []any{id}
	if slot != "" {
		cols, values = append(cols, pgserver.Text("replication_slot")), append(values, any(slot))
	}
	if err := w.Columns(cols...); err != nil {
		return err
	}
	if err := w.Row(values...); err != nil {
		return err
	}
	return w.Complete(cmd.Verb)
}

// moved are the rows of a proxy that can move databases.
func moved[T any](a *answer, rows func(Mover) []T) func() []T {
	return func() []T {
		if m, ok := a.proxy.(Mover); ok {
			return rows(m)
		}
		return nil
	}
}

// clock is a duration as PgDog shows it: HH:MM:SS:mmm.
func clock(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d:%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}

// size is a number of bytes for people.
func size(n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return strconv.FormatInt(n, 10) + " B"
	}
	return fmt.Sprintf("%.2f %s", f, unit)
}

// grouped is a number with its thousands apart.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	var parts []string
	for len(s) > 3 {
		parts, s = append([]string{s[len(s)-3:]}, parts...), s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), ",")
}

func showTasks(a *answer) error {
	return table(a, []column[Task]{
		{pgserver.Int8("id"), func(t *Task) any {
			if t.ID == 0 {
				return nil
			}
			return t.ID
		}},
		str("scope", func(t *Task) string {
			if t.ID == 0 {
				return "subtask"
			}
			return "root"
		}),
		str("type", func(t *Task) string { return t.Type }),
		str("status", func(t *Task) string { return t.Status }),
		str("inner_status", func(t *Task) string { return t.Inner }),
		at("started_at", func(t *Task) time.Time { return t.Started }),
		at("updated_at", func(t *Task) time.Time { return t.Updated }),
		str("elapsed", func(t *Task) string { return clock(t.Elapsed) }),
		num("elapsed_ms", func(t *Task) int64 { return t.Elapsed.Milliseconds() }),
	}, moved(a, Mover.Tasks))
}

func showTableCopies(a *answer) error {
	rate := func(t *TableCopy) int64 {
		if t.Elapsed <= 0 {
			return 0
		}
		return int64(float64(t.Bytes) / t.Elapsed.Seconds())
	}
	return table(a, []column[TableCopy]{
		str("schema", func(t *TableCopy) string { return t.Schema }),
		str("table", func(t *TableCopy) string { return t.Table }),
		str("status", func(t *TableCopy) string { return t.Status }),
		num("rows", func(t *TableCopy) int64 { return t.Rows }),
		str("rows_human", func(t *TableCopy) string { return grouped(t.Rows) }),
		num("bytes", func(t *TableCopy) int64 { return t.Bytes }),
		str("bytes_human", func(t *TableCopy) string { return size(t.Bytes) }),
		num("bytes_per_sec", rate),
		str("bytes_per_sec_human", func(t *TableCopy) string { return size(rate(t)) }),
		str("elapsed", func(t *TableCopy) string { return clock(t.Elapsed) }),
		num("elapsed_ms", func(t *TableCopy) int64 { return t.Elapsed.Milliseconds() }),
		str("sql", func(t *TableCopy) string { return t.SQL }),
	}, moved(a, Mover.TableCopies))
}

func showSchemaSync(a *answer) error {
	return table(a, []column[SchemaSync]{
		str("database", func(s *SchemaSync) string { return s.Database }),
		str("user", func(s *SchemaSync) string { return s.User }),
		num("shard", func(s *SchemaSync) int { return s.Shard }),
		str("kind", func(s *SchemaSync) string { return s.Kind }),
		str("sync_state", func(s *SchemaSync) string { return s.State }),
		at("started_at", func(s *SchemaSync) time.Time { return s.Started }),
		str("elapsed", func(s *SchemaSync) string { return clock(s.Elapsed) }),
		num("elapsed_ms", func(s *SchemaSync) int64 { return s.Elapsed.Milliseconds() }),
		str("table_schema", func(s *SchemaSync) string { return s.Schema }),
		str("table_name", func(s *SchemaSync) string { return s.Table }),
		str("sql", func(s *SchemaSync) string { return s.SQL }),
	}, moved(a, Mover.SchemaSyncs))
}

func showReplicationSlots(a *answer) error {
	return table(a, []column[Slot]{
		str("host", func(s *Slot) string { return s.Host }),
		num("port", func(s *Slot) int { return s.Port }),
		str("database_name", func(s *Slot) string { return s.Database }),
		str("name", func(s *Slot) string { return s.Name }),
		str("lsn", func(s *Slot) string { return s.LSN }),
		{pgserver.Text("lag"), func(s *Slot) any {
			if s.Lag < 0 {
				return nil
			}
			return size(s.Lag)
		}},
		num("lag_bytes", func(s *Slot) int64 { return s.Lag }),
		yes("copy_data", func(s *Slot) bool { return s.Copy }),
		at("last_transaction", func(s *Slot) time.Time { return s.Last }),
		{pgserver.Int8("last_transaction_ms"), func(s *Slot) any {
			if s.Last.IsZero() {
				return nil
			}
			return time.Since(s.Last).Milliseconds()
		}},
	}, moved(a, Mover.Slots))
}
