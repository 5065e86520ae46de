package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/jsonl"
)

// wireReplicateCmd streams a database's changes.
type wireReplicateCmd struct {
	target
	URL         string   `name:"url" placeholder:"URL" help:"Another server than a cluster of this project."`
	DB          string   `name:"db" placeholder:"NAME" help:"Another database."`
	Slot        string   `placeholder:"NAME" required:"" help:"The replication slot, which remembers how far we are."`
	Publication []string `placeholder:"NAME" required:"" help:"Whose changes; repeatable."`
	CreateSlot  bool     `help:"Make the slot if there is none; it keeps the server's log until it is dropped."`
	Copy        bool     `help:"With a new slot, begin with the rows that are there."`
	Output      string   `short:"w" placeholder:"FILE" complete:"file" help:"Append to this file, and go on where it ends: every change is in it once, even after kill -9."`
	Once        bool     `help:"End when all that has been committed so far is written."`
	Messages    bool     `help:"Also what pg_logical_emit_message writes."`
	DropSlot    bool     `help:"Drop the slot at an orderly end."`
}

// Help is the command's long help.
func (*wireReplicateCmd) Help() string {
	return `Writes each transaction, once it has committed, as lines of JSON: begin, its changes, commit. A position is acknowledged only after the line has been written out (with --output: is on disk), so that after a kill the next run has everything that is missing. On stdout the last transactions may then come again; in a file they do not. See "pgx-dev help replication".`
}

// Run streams until interrupted.
func (c *wireReplicateCmd) Run(ctx context.Context, env *Env) (err error) {
	switch {
	case c.Copy && !c.CreateSlot:
		return usageError("--copy goes with --create-slot: the rows are those at the slot's beginning")
	case c.URL != "" && (c.Name != "" || c.Dir != ""):
		return usageError("give a cluster or --url, not both")
	}
	to, err := c.server(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close(context.WithoutCancel(ctx))) }()
	if c.DB != "" {
		to.config.Database = c.DB
	}

	out := &changeSink{w: bufio.NewWriterSize(env.UI.Stdout(), 64<<10)}
	if c.Output != "" {
		f, ferr := jsonl.OpenFile(c.Output)
		if ferr != nil {
			return ferr
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = &changeSink{w: bufio.NewWriterSize(f, 64<<10), sync: f.Sync, acked: f.Position}
		if f.Cut > 0 {
			env.UI.Note("took %d bytes of an unfinished transaction off the end of %s; it comes again", f.Cut, c.Output)
		}
	}
	conn, err := replication.Connect(ctx, to.config, replication.Logical)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // what matters has been acknowledged
	if err := c.stream(ctx, env, to, conn, out); err != nil {
		return err
	}
	if c.DropSlot {
		return conn.DropSlot(context.WithoutCancel(ctx), c.Slot, true)
	}
	return nil
}

func (c *wireReplicateCmd) server(ctx context.Context, env *Env) (*wireTarget, error) {
	if c.URL != "" {
		return remoteTarget(c.URL)
	}
	srv, cfg, err := attach(ctx, env, c.target, "wire replicate")
	if err != nil {
		return nil, err
	}
	return clusterTarget(srv, cfg)
}

// stream prepares the slot and writes changes until ctx ends.
func (c *wireReplicateCmd) stream(ctx context.Context, env *Env, to *wireTarget, conn *replication.Conn, out *changeSink) error {
	if err := c.checkPublications(ctx, conn); err != nil {
		return err
	}
	if err := c.prepareSlot(ctx, env, to, conn, out); err != nil {
		return err
	}
	var target wire.LSN
	if c.Once {
		sys, err := conn.IdentifySystem(ctx)
		if err != nil {
			return err
		}
		target = sys.Position
	}
	sub, err := conn.Subscribe(ctx, replication.SubscribeOptions{
		Slot: c.Slot, Publications: c.Publication, Start: out.acked, Messages: c.Messages, StatusInterval: time.Second,
	})
	if err != nil {
		return err
	}
	env.Log.Info("stream", "slot", c.Slot, "from", out.acked)
	if err := out.copy(ctx, sub, target); err != nil {
		return err
	}
	// An orderly end: the server knows what we have.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return sub.Stop(last)
}

// checkPublications says what is missing before anything is made.
func (c *wireReplicateCmd) checkPublications(ctx context.Context, conn *replication.Conn) error {
	var errs []error
	for _, name := range c.Publication {
		found, err := conn.Query(ctx, "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = "+replication.QuoteLiteral(name))
		if err != nil {
			return err
		}
		if len(found) == 0 || len(found[0].Rows) == 0 {
			errs = append(errs, fmt.Errorf("there is no publication %s; CREATE PUBLICATION %s FOR ALL TABLES makes one", name, replication.QuoteIdent(name)))
		}
	}
	if errs != nil {
		return &ExitError{ExitNotExist, errors.Join(errs...)}
	}
	return nil
}

// prepareSlot makes sure that there is a slot of the right kind, and copies what was there
// before a new one.
func (c *wireReplicateCmd) prepareSlot(ctx context.Context, env *Env, to *wireTarget, conn *replication.Conn, out *changeSink) error {
	found, err := conn.Query(ctx, "SELECT coalesce(plugin, ''), coalesce(database, '') = pg_catalog.current_database() FROM pg_catalog.pg_replication_slots WHERE slot_name = "+replication.QuoteLiteral(c.Slot))
	if err != nil {
		return err
	}
	if len(found) > 0 && len(found[0].Rows) > 0 {
		plugin, here := string(found[0].Rows[0][0]), string(found[0].Rows[0][1]) == "t"
		switch {
		case plugin != "pgoutput":
			return fmt.Errorf("slot %s is not one of pgoutput (%q); choose another name, or drop it: SELECT pg_drop_replication_slot(%s)", c.Slot, plugin, replication.QuoteLiteral(c.Slot))
		case !here:
			return fmt.Errorf("slot %s belongs to another database; choose it by --db", c.Slot)
		case c.Copy && out.acked == 0:
			return fmt.Errorf("slot %s is there, but no finished copy: to begin again drop it first (SELECT pg_drop_replication_slot(%s)), to go on without one leave --copy out", c.Slot, replication.QuoteLiteral(c.Slot))
		}
		return nil
	}
	if !c.CreateSlot {
		return &ExitError{ExitNotExist, fmt.Errorf("there is no slot %s; --create-slot makes it", c.Slot)}
	}
	if out.acked != 0 {
		return fmt.Errorf("the file ends at %v, but slot %s is gone and with it what came after: begin a new file", out.acked, c.Slot)
	}
	opts := replication.SlotOptions{Plugin: "pgoutput", Snapshot: "nothing"}
	if c.Copy {
		opts.Snapshot = "export"
	}
	slot, err := conn.CreateSlot(ctx, c.Slot, opts)
	if err != nil {
		if strings.Contains(err.Error(), "wal_level") {
			return fmt.Errorf("%w; restart the server with wal_level=logical (pgx-dev up --set wal_level=logical)", err)
		}
		return err
	}
	env.UI.Note("made slot %s at %v; drop it when it is no longer wanted (--drop-slot)", c.Slot, slot.ConsistentPoint)
	if !c.Copy {
		return nil
	}
	if err := copyTables(ctx, to, conn, c.Publication, slot, out); err != nil {
		// Nobody could continue a copy that is not whole.
		return errors.Join(fmt.Errorf("copy the rows that are there: %w", err), conn.DropSlot(context.WithoutCancel(ctx), c.Slot, true))
	}
	return nil
}

// A changeSink writes lines and remembers what may be acknowledged.
type changeSink struct {
	w     *bufio.Writer
	sync  func() error // nil on stdout
	acked wire.LSN     // all before it is safe
	line  []byte
}

// flush makes what was written safe.
func (s *changeSink) flush() error {
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("write the changes: %w", err)
	}
	if s.sync != nil {
		if err := s.sync(); err != nil {
			return fmt.Errorf("write the changes: %w", err)
		}
	}
	return nil
}

// Lines are written out when nothing new has come for flushAfter, and at the latest when
// flushBytes are waiting.
const (
	flushAfter = 5 * time.Millisecond
	flushBytes = 1 << 20
)

// copy writes changes until ctx ends or, unless target is 0, all before target is written.
// What it has written is then safe and acknowledged.
func (s *changeSink) copy(ctx context.Context, sub *replication.Subscriber, target wire.LSN) error {
	var enc jsonl.Encoder
	var pending wire.LSN // is safe once the lines are
	written := 0
	settle := func() error {
		if pending == 0 {
			return nil
		}
		if err := s.flush(); err != nil {
			return err
		}
		s.acked, written = pending, 0
		pending = 0
		return sub.Acknowledge(s.acked, false)
	}
	for {
		if target != 0 && pending == 0 && sub.Acknowledged() >= target {
			return nil
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		switch {
		case pending != 0:
			wait, cancel = context.WithTimeout(ctx, flushAfter)
		case target != 0: // keepalives move it, and Next does not tell of them
			wait, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		}
		ch, err := sub.Next(wait)
		cancel()
		switch {
		case ctx.Err() != nil:
			return settle() // an open transaction stays behind in the buffer, and comes again
		case errors.Is(err, context.DeadlineExceeded) && wait.Err() != nil:
			if err := settle(); err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF):
			return errors.Join(settle(), errors.New("the server has ended the stream; it shuts down"))
		case err != nil:
			return errors.Join(settle(), err)
		}
		if s.line, err = enc.Append(s.line[:0], ch); err != nil {
			return err
		}
		if _, err := s.w.Write(s.line); err != nil {
			return fmt.Errorf("write the changes: %w", err)
		}
		written += len(s.line)
		if ch.Ack != 0 {
			pending = ch.Ack
			if written >= flushBytes {
				if err := settle(); err != nil {
					return err
				}
			}
		}
	}
}
