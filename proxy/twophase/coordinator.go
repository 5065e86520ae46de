package twophase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/scatter"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Server is a connection of its own to a shard's primary, for resolving what was left.
type Server interface {
	// Query runs a query and calls row for each row, with its columns as text.
	Query(ctx context.Context, sql string, row func(columns [][]byte) error) error
	Close()
}

// A Config is what a [Coordinator] needs.
type Config struct {
	// Log is where decisions are written. Required; the coordinator does not close it.
	Log *Log
	// Shards is the number of shards, Connect connects to one's primary. Required.
	Shards  int
	Connect func(ctx context.Context, shard int) (Server, error)
	// Interval is how often servers are asked for transactions that were left. Default: 10 s.
	Interval time.Duration
	// Step is called with the name of every step that has been done, for tests. Nil: nothing.
	Step func(step string)
	// Logger gets what no client is told. Nil discards it.
	Logger *slog.Logger
}

// A Coordinator commits on several servers at once. It is safe for concurrent use. Run must
// be running.
type Coordinator struct {
	cfg    Config
	prefix string // of all its log's transactions
	epoch  string // of this run's
	next   atomic.Uint64
	kick   chan struct{}

	mu      sync.Mutex
	flight  map[string]*Transaction // this run's that are not resolved
	decided map[string]*Transaction // committed, to be carried out somewhere
	counts  Counts
}

// Counts are what a coordinator has done.
type Counts struct {
	Committed, RolledBack uint64
	// Recovered counts the prepared transactions of before, or of lost connections, that
	// were committed or rolled back afterwards.
	Recovered uint64
}

// A Transaction is one that is under way, or in doubt.
type Transaction struct {
	Name   string
	Shards []int
	// State is preparing, committing, or "in doubt" if its decision is not known because the
	// log could not be written.
	State string
	// Pending are the shards that have still to carry it out.
	Pending []int
	Since   time.Time
}

// New makes a coordinator. It does no I/O.
func New(cfg Config) *Coordinator {
	if cfg.Interval <= 0 {
		cfg.Interval = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Step == nil {
		cfg.Step = func(string) {}
	}
	c := &Coordinator{
		cfg: cfg, prefix: "pgx_" + cfg.Log.Instance() + "_", epoch: strconv.FormatInt(time.Now().UnixNano(), 36),
		kick: make(chan struct{}, 1), flight: map[string]*Transaction{}, decided: map[string]*Transaction{},
	}
	for name, shards := range cfg.Log.Open() {
		c.decided[name] = &Transaction{Name: name, Shards: shards, State: "committing", Pending: shards, Since: time.Now()}
	}
	return c
}

// GID is a transaction's name on a shard. Shards may be databases of one server, where names
// must differ.
func GID(name string, shard int) string { return name + "_" + strconv.Itoa(shard) }

// Commit implements scatter.Committer.
func (c *Coordinator) Commit(_ context.Context, parts []scatter.Part) (pending []int, err error) {
	t := &Transaction{State: "preparing", Since: time.Now()}
	for _, p := range parts {
		t.Shards = append(t.Shards, p.Shard())
	}
	slices.Sort(t.Shards)
	name := c.prefix + c.epoch + "_" + strconv.FormatUint(c.next.Add(1), 36) + "_" + memberText(t.Shards)
	t.Name = name
	c.mu.Lock()
	c.flight[name] = t
	c.mu.Unlock()
	if err := c.prepare(name, parts); err != nil {
		return nil, err
	}
	c.cfg.Step("prepared")
	if err := c.cfg.Log.Decide(name, t.Shards); err != nil {
		c.set(t, "in doubt", t.Shards)
		e := wire.Errorf("08007", "whether the transaction is committed is not known: %w", err)
		e.Detail = fmt.Sprintf("It stays prepared on shards %v as %s until the proxy is started anew.", t.Shards, name)
		return nil, e
	}
	c.cfg.Step("decided")
	c.set(t, "committing", t.Shards)
	var sent []scatter.Part
	for _, p := range parts {
		if p.Start("COMMIT PREPARED '"+GID(name, p.Shard())+"'") != nil {
			pending = append(pending, p.Shard())
			continue
		}
		sent = append(sent, p)
		c.cfg.Step("committing")
	}
	for _, p := range sent {
		if err := p.Wait(); err != nil {
			c.cfg.Logger.Warn("COMMIT PREPARED", "shard", p.Shard(), "transaction", name, "error", err)
			pending = append(pending, p.Shard())
		}
		c.cfg.Step("committed")
	}
	slices.Sort(pending)
	c.mu.Lock()
	c.counts.Committed++
	delete(c.flight, name)
	if len(pending) > 0 {
		t.Pending = pending
		c.decided[name] = t
	}
	c.mu.Unlock()
	if len(pending) > 0 {
		c.wake()
		return pending, nil
	}
	if err := c.cfg.Log.End(name); err != nil {
		c.cfg.Logger.Warn("the end of a transaction could not be written", "transaction", name, "error", err)
	}
	c.cfg.Step("ended")
	return nil, nil
}

// prepare prepares all parts, or rolls all of them back.
func (c *Coordinator) prepare(name string, parts []scatter.Part) error {
	var failure error
	var sent, prepared []scatter.Part
	for _, p := range parts {
		if err := p.Start("PREPARE TRANSACTION '" + GID(name, p.Shard()) + "'"); err != nil {
			failure = err
			break
		}
		sent = append(sent, p)
		c.cfg.Step("preparing")
	}
	unknown := failure != nil
	for _, p := range sent {
		switch err := p.Wait(); err {
		case nil:
			prepared = append(prepared, p)
		default:
			if failure == nil {
				failure = err
			}
			unknown = unknown || p.Lost()
		}
		c.cfg.Step("answered")
	}
	if failure == nil {
		return nil
	}
	for _, p := range parts {
		// One that has not been prepared is rolled back by its session.
		if slices.Contains(prepared, p) {
			err := p.Start("ROLLBACK PREPARED '" + GID(name, p.Shard()) + "'")
			if err == nil {
				err = p.Wait()
			}
			unknown = unknown || err != nil
		} else if !p.Lost() {
			if p.Start("ROLLBACK") == nil {
				_ = p.Wait()
			}
		}
	}
	c.mu.Lock()
	delete(c.flight, name) // what is left of it has no decision: it is rolled back
	c.counts.RolledBack++
	c.mu.Unlock()
	if unknown {
		c.wake()
	}
	e := *wire.AsError(failure)
	e.Detail = strings.TrimSpace(e.Detail + " The transaction is rolled back on all shards.")
	return &e
}

func (c *Coordinator) set(t *Transaction, state string, pending []int) {
	c.mu.Lock()
	t.State, t.Pending = state, pending
	c.mu.Unlock()
}

// wake lets Run look at once.
func (c *Coordinator) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Run resolves what was left, at once and until ctx ends.
func (c *Coordinator) Run(ctx context.Context) error {
	ticker := time.NewTicker(c.cfg.Interval)
	defer ticker.Stop()
	for {
		if err := c.Resolve(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Warn("prepared transactions could not all be resolved", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-c.kick:
		}
	}
}

// Resolve goes over all shards once: what is decided is committed, and what has no decision
// is rolled back. The error tells of the shards that could not be reached.
func (c *Coordinator) Resolve(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, c.cfg.Shards)
	for shard := range c.cfg.Shards {
		wg.Go(func() {
			if err := c.resolve(ctx, shard); err != nil {
				errs[shard] = fmt.Errorf("shard %d: %w", shard, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// resolve goes over one shard.
func (c *Coordinator) resolve(ctx context.Context, shard int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	srv, err := c.cfg.Connect(ctx, shard)
	if err != nil {
		return err
	}
	defer srv.Close()
	// Those that are decided now, and not only later, must be looked for: a transaction that
	// is prepared after the list is made is none of them.
	c.mu.Lock()
	var due []string
	for name, t := range c.decided {
		if slices.Contains(t.Pending, shard) {
			due = append(due, name)
		}
	}
	c.mu.Unlock()
	gids, err := own(ctx, srv, c.prefix)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range gids {
		name, ok := strings.CutSuffix(g, "_"+strconv.Itoa(shard))
		if !ok {
			continue // of another shard, in the same database by mistake
		}
		verb := c.verdict(name)
		if verb == "" {
			continue
		}
		err := srv.Query(ctx, verb+" '"+g+"'", func([][]byte) error { return nil })
		if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.CodeUndefinedObject {
			err = nil // somebody else has
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s '%s': %w", verb, g, err))
			due = slices.DeleteFunc(due, func(n string) bool { return n == name })
			continue
		}
		c.cfg.Logger.Info("a prepared transaction that was left is resolved", "shard", shard, "transaction", g, "by", verb)
		c.mu.Lock()
		c.counts.Recovered++
		c.mu.Unlock()
	}
	for _, name := range due {
		c.carriedOut(name, shard)
	}
	return errors.Join(errs...)
}

// verdict says what to do about a prepared transaction; "" is nothing yet.
func (c *Coordinator) verdict(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.decided[name] != nil:
		return "COMMIT PREPARED"
	case c.flight[name] != nil:
		return ""
	}
	return "ROLLBACK PREPARED"
}

// carriedOut takes down that a shard has committed a transaction.
func (c *Coordinator) carriedOut(name string, shard int) {
	c.mu.Lock()
	t := c.decided[name]
	over := false
	if t != nil {
		t.Pending = slices.DeleteFunc(slices.Clone(t.Pending), func(s int) bool { return s == shard })
		if over = len(t.Pending) == 0; over {
			delete(c.decided, name)
		}
	}
	c.mu.Unlock()
	if over {
		if err := c.cfg.Log.End(name); err != nil {
			c.cfg.Logger.Warn("the end of a transaction could not be written", "transaction", name, "error", err)
		}
	}
}

// own lists the prepared transactions of a database whose names begin so.
func own(ctx context.Context, srv Server, prefix string) ([]string, error) {
	var out []string
	err := srv.Query(ctx, "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() AND pg_catalog.starts_with(gid, '"+prefix+"')",
		func(c [][]byte) error {
			out = append(out, string(c[0]))
			return nil
		})
	return out, err
}

// Transactions lists what is under way or in doubt, the oldest first.
func (c *Coordinator) Transactions() []Transaction {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Transaction
	for _, m := range []map[string]*Transaction{c.flight, c.decided} {
		for _, t := range m {
			x := *t
			x.Shards, x.Pending = slices.Clone(t.Shards), slices.Clone(t.Pending)
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b Transaction) int { return a.Since.Compare(b.Since) })
	return out
}

// Counts returns what has been done.
func (c *Coordinator) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}
