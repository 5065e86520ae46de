package console

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"github.com/pgx-dev/pgx-dev/proxy/admin"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/reshard"
	"github.com/pgx-dev/pgx-dev/wire"
)

// mover is the proxy as what moves databases knows it.
type mover struct{ c *Console }

// Database implements reshard.Host.
func (m mover) Database(name string) (reshard.Database, error) {
	return fleet.Movable(m.c.cfg.Config(), name)
}

// Settings implements reshard.Host.
func (m mover) Settings() reshard.Settings {
	c := m.c.cfg.Config()
	g := &c.General
	program := reshard.Program{Path: c.Replication.PgDumpPath}
	if program.Path == "pg_dump" && m.c.cfg.FindDump != nil { // the default
		program = reshard.Program{Find: m.c.cfg.FindDump}
	}
	return reshard.Settings{
		Options: reshard.Options{
			Text: g.ReshardingCopyFormat == conf.CopyText, Parallel: g.ReshardingParallelCopies,
			CopyAttempts: g.ReshardingCopyRetryMaxAttempts, CopyDelay: g.ReshardingCopyRetryMinDelay,
			StreamAttempts: g.ReshardingReplicationRetryMaxAttempts, StreamDelay: g.ReshardingReplicationRetryMinDelay,
		},
		PgDump:  program,
		StopLag: g.CutoverTrafficStopThreshold, SwapLag: g.CutoverReplicationLagThreshold, Quiet: g.CutoverLastTransactionDelay,
		Timeout: g.CutoverTimeout, Force: g.CutoverTimeoutAction == conf.CutoverForced,
	}
}

// Hold implements reshard.Host.
func (m mover) Hold(ctx context.Context, databases ...string) error {
	return m.c.cfg.Fleet.HoldDatabases(ctx, databases...)
}

// Release implements reshard.Host.
func (m mover) Release(databases ...string) { m.c.cfg.Fleet.ReleaseDatabases(databases...) }

// Exchange implements reshard.Host.
func (m mover) Exchange(a, b string, check func() error) error {
	return m.c.cfg.Exchange(a, b, check)
}

// Close ends the tasks that move databases. What they need to go on stays on the servers.
func (c *Console) Close() { c.tasks.Close() }

// Move implements admin.Mover.
func (c *Console) Move(ctx context.Context, cmd admin.Command) (int64, string, error) {
	if c.cfg.Exchange == nil {
		return 0, "", &wire.Error{
			Code: wire.CodeFeatureNotSupported, Message: cmd.Verb + " is not supported by a proxy without a configuration that names its servers",
			Hint: "Name the source and the destination by [[databases]].",
		}
	}
	arg := func(i int) string {
		if i < len(cmd.Args) {
			return cmd.Args[i]
		}
		return ""
	}
	start := c.tasks.Reshard
	switch cmd.Verb {
	case "SCHEMA_SYNC":
		phase, err := reshard.ParsePhase(arg(0))
		if err != nil {
			return 0, "", wire.Errorf(wire.CodeSyntaxError, "SCHEMA_SYNC: %v", err)
		}
		id, err := c.tasks.SyncSchema(phase, arg(1), arg(2))
		return id, "", moveError(cmd.Verb, err)
	case "COPY_DATA":
		start = c.tasks.CopyData
	case "REPLICATE":
		start = c.tasks.Replicate
	case "RESHARD":
		if err := c.cfg.Config().Exchangeable(arg(0), arg(1)); err != nil {
			return 0, "", moveError(cmd.Verb, err)
		}
	case "CUTOVER", "STOP_TASK":
		id := int64(0)
		if text := arg(0); text != "" {
			var err error
			if id, err = strconv.ParseInt(text, 10, 64); err != nil || id <= 0 {
				return 0, "", wire.Errorf(wire.CodeSyntaxError, "%s: %q is no number of a task", cmd.Verb, text)
			}
		}
		run := c.tasks.Cutover
		if cmd.Verb == "STOP_TASK" {
			run = c.tasks.Stop
		}
		return 0, "", moveError(cmd.Verb, run(ctx, id))
	}
	id, slot, err := start(ctx, arg(0), arg(1), arg(2), arg(3))
	return id, slot, moveError(cmd.Verb, err)
}

// moveError gives an error a code that clients can tell.
func moveError(verb string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, reshard.ErrNoTask):
		return wire.Errorf(wire.CodeUndefinedObject, "%s: %v", verb, err)
	case errors.Is(err, reshard.ErrTimeout):
		return wire.Errorf(wire.CodeQueryCanceled, "%s: %v", verb, err)
	}
	return wire.Errorf(wire.CodeObjectNotInPrerequisite, "%s: %v", verb, err)
}

// Tasks implements admin.Mover.
func (c *Console) Tasks() (out []admin.Task) {
	for _, t := range c.tasks.List() {
		out = append(out, admin.Task{ID: t.ID, Type: t.Type, Status: t.Status, Inner: t.Inner, Started: t.Started, Updated: t.Updated, Elapsed: t.Elapsed()})
	}
	return out
}

// TableCopies implements admin.Mover.
func (c *Console) TableCopies() (out []admin.TableCopy) {
	for _, m := range c.tasks.Moves() {
		for _, t := range m.Copies() {
			out = append(out, admin.TableCopy{Schema: t.Schema, Table: t.Table, Status: t.State(), SQL: t.SQL, Rows: t.Rows(), Bytes: t.Bytes(), Elapsed: t.Elapsed()})
		}
	}
	return out
}

// Slots implements admin.Mover.
func (c *Console) Slots() (out []admin.Slot) {
	for _, m := range c.tasks.Moves() {
		for _, s := range m.Slots() {
			out = append(out, admin.Slot{Host: s.Host, Port: s.Port, Database: s.Database, Name: s.Name, LSN: s.Position.String(), Lag: s.Lag, Last: s.Last, Copy: len(m.Copies()) > 0})
		}
	}
	return out
}

// SchemaSyncs implements admin.Mover.
func (c *Console) SchemaSyncs() (out []admin.SchemaSync) {
	for _, s := range c.tasks.Schemas() {
		for _, st := range s.Statements() {
			out = append(out, admin.SchemaSync{
				Database: s.Destination.Name, User: s.Destination.Shards[st.Shard].Config.User, Shard: st.Shard, Kind: st.Kind, State: st.State,
				Schema: st.Schema, Table: st.Ob, SQL: st.SQL, Started: st.Began, Elapsed: cmp.Or(st.Done, st.Began).Sub(st.Began),
			})
		}
	}
	return out
}
