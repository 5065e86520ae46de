package reshard

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrNoTask reports a number that no task has, or that there is none to do something with.
var ErrNoTask = errors.New("there is no such task")

// Tasks runs moves in the background. It is safe for concurrent use; Close ends all.
type Tasks struct {
	host Host
	log  *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	next int64
	jobs []*job
	// claims are those that are about to begin: their databases are theirs.
	claims []*job
}

// NewTasks makes a Tasks that has none.
func NewTasks(host Host, log *slog.Logger) *Tasks {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tasks{host: host, log: log}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Close ends all tasks. Slots and progress stay, so that a task of the same slot can go on; the log says
// which.
func (t *Tasks) Close() {
	running := slices.DeleteFunc(t.all(), (*job).over)
	t.cancel()
	t.wg.Wait()
	for _, j := range running {
		if j.move == nil {
			continue
		}
		for _, s := range j.move.Slots() {
			t.log.Warn("a task ends with the proxy; its replication slot stays, and keeps the server's WAL until a task with the slot's name goes on, or it is dropped there",
				"task", j.id, "type", j.typ(), "slot", j.move.Slot, "server", fmt.Sprintf("%s:%d", s.Host, s.Port), "database", s.Database, "dropped_by", "SELECT pg_drop_replication_slot('"+s.Name+"')")
		}
	}
}

// A Task is one as it is now.
type Task struct {
	ID int64 // 0: it is a part of the one before
	// Type says what it does, Status and Inner how far it is.
	Type, Status, Inner string
	Started, Updated    time.Time
	Over                bool
}

// Elapsed is how long it runs, or has run.
func (t *Task) Elapsed() time.Duration {
	if t.Over {
		return t.Updated.Sub(t.Started)
	}
	return time.Since(t.Started)
}

// kept is how many tasks that are over are still shown.
const kept = 50

// Kinds of tasks.
const (
	kindReshard   = "reshard"
	kindCopy      = "copy_data"
	kindReplicate = "replication"
)

// Reshard copies schema and rows, follows the changes and gives clients the new servers. It returns the
// task's number and the name of its slots.
func (t *Tasks) Reshard(ctx context.Context, source, destination, publication, slot string) (int64, string, error) {
	return t.move(ctx, kindReshard, source, destination, publication, slot)
}

// CopyData does the same, but for the last.
func (t *Tasks) CopyData(ctx context.Context, source, destination, publication, slot string) (int64, string, error) {
	return t.move(ctx, kindCopy, source, destination, publication, slot)
}

// Replicate follows the changes from a slot that is there, or from now on.
func (t *Tasks) Replicate(ctx context.Context, source, destination, publication, slot string) (int64, string, error) {
	return t.move(ctx, kindReplicate, source, destination, publication, slot)
}

func (t *Tasks) move(ctx context.Context, kind, source, destination, publication, slot string) (int64, string, error) {
	src, dst, err := t.pair(source, destination)
	if err != nil {
		return 0, "", err
	}
	slot = cmp.Or(slot, "pgx_dev_"+strings.ToLower(rand.Text()[:10]))
	set := t.host.Settings()
	j := &job{t: t, kind: kind, cut: make(chan *cut)}
	j.move = &Move{Source: src, Destination: dst, Publication: publication, Slot: slot, Options: set.Options, Log: t.log}
	j.schema = &SchemaSync{Source: src, Destination: dst, PgDump: set.PgDump, Log: t.log}
	release, other := t.claim(j)
	if other != "" {
		return 0, "", fmt.Errorf("%s is at one of them", other)
	}
	defer release()
	if err := j.move.Check(ctx); err != nil {
		return 0, "", err
	}
	if kind == kindReshard {
		if err := logical(ctx, &dst); err != nil {
			return 0, "", err
		}
	}
	if left, err := unpublished(ctx, &src.Shards[0], publication); err != nil {
		return 0, "", err
	} else if len(left) > 0 {
		t.log.Warn("tables that are not in the publication stay behind", "publication", publication, "tables", left)
	}
	return t.start(j, j.run), slot, nil
}

// SyncSchema makes a phase of the schema.
func (t *Tasks) SyncSchema(phase Phase, source, destination string) (int64, error) {
	src, dst, err := t.pair(source, destination)
	if err != nil {
		return 0, err
	}
	j := &job{t: t, kind: fmt.Sprintf("schema_sync(%s)", phase)}
	j.schema = &SchemaSync{Source: src, Destination: dst, PgDump: t.host.Settings().PgDump, Log: t.log}
	return t.start(j, func(ctx context.Context) error {
		j.say(syncing(phase))
		if phase == Cutover {
			if err := j.schema.Validate(ctx); err != nil {
				return err
			}
		}
		return j.schema.Run(ctx, phase)
	}), nil
}

func syncing(p Phase) string {
	switch p {
	case Post:
		return "creating indexes"
	case Cutover:
		return "syncing cutover schema"
	}
	return "syncing tables"
}

func (t *Tasks) pair(source, destination string) (src, dst Database, err error) {
	if source == destination {
		return src, dst, fmt.Errorf("the source and the destination are the same database, %q", source)
	}
	if src, err = t.host.Database(source); err == nil {
		dst, err = t.host.Database(destination)
	}
	if err != nil {
		return src, dst, err
	}
	for _, a := range src.Shards {
		for _, b := range dst.Shards {
			if a.String() == b.String() && a.Config.Database == b.Config.Database {
				return src, dst, fmt.Errorf("the database %q of %s is a shard of both", a.Config.Database, &a)
			}
		}
	}
	return src, dst, nil
}

// using names a task that runs, other than one, and moves rows of or to one of two databases; empty if none
// does.
func (t *Tasks) using(a, b *Database, but *job) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.usingLocked(a, b, but)
}

func (t *Tasks) usingLocked(a, b *Database, but *job) string {
	for _, j := range slices.Concat(t.jobs, t.claims) {
		if j == but || j.move == nil || j.over() {
			continue
		}
		for _, d := range []*Database{&j.move.Source, &j.move.Destination} {
			if a.shares(d) || b.shares(d) {
				return j.who()
			}
		}
	}
	return ""
}

// claim keeps the databases of a task that is about to begin from others, until release is called. It
// names the one that has them, if one has.
func (t *Tasks) claim(j *job) (release func(), other string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other = t.usingLocked(&j.move.Source, &j.move.Destination, nil); other != "" {
		return nil, other
	}
	t.claims = append(t.claims, j)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.claims = slices.DeleteFunc(t.claims, func(o *job) bool { return o == j })
	}, ""
}

// start runs a job.
func (t *Tasks) start(j *job, run func(context.Context) error) int64 {
	j.ctx, j.stop = context.WithCancelCause(t.ctx)
	j.done = make(chan struct{})
	j.status, j.started = "running", time.Now()
	j.updated = j.started
	t.mu.Lock()
	t.next++
	j.id = t.next
	if over := slices.DeleteFunc(slices.Clone(t.jobs), func(j *job) bool { return !j.over() }); len(over) > kept {
		oldest := over[0]
		t.jobs = slices.DeleteFunc(t.jobs, func(j *job) bool { return j == oldest })
	}
	t.jobs = append(t.jobs, j)
	t.mu.Unlock()
	t.wg.Go(func() {
		defer close(j.done)
		defer j.stop(nil)
		j.finish(run(j.ctx))
	})
	return j.id
}

// find returns a task by its number; without one, the first that ok says yes of.
func (t *Tasks) find(id int64, ok func(*job) bool) (*job, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, j := range t.jobs {
		if id == j.id || id == 0 && ok(j) {
			return j, nil
		}
	}
	if id == 0 {
		return nil, fmt.Errorf("%w: none is running that could be", ErrNoTask)
	}
	return nil, fmt.Errorf("%w: %d; SHOW TASKS lists them", ErrNoTask, id)
}

// errStopped is why a task ends that was told to.
var errStopped = errors.New("the task was stopped")

// Stop ends a task and drops what it has made for itself: slots, publications, progress. The rows that it
// has copied stay. Of one that has failed it drops the same.
func (t *Tasks) Stop(ctx context.Context, id int64) error {
	j, err := t.find(id, func(j *job) bool { return !j.over() })
	if err != nil {
		return err
	}
	if !j.over() {
		j.mark("cancelling")
	}
	j.stop(errStopped)
	select {
	case <-j.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if j.move != nil {
		if other := t.using(&j.move.Source, &j.move.Destination, j); other != "" {
			return fmt.Errorf("%s works with what this one has left", other)
		}
	}
	return j.clean(ctx)
}

// List lists the tasks, the oldest first, each with its parts behind it.
func (t *Tasks) List() []Task {
	var out []Task
	for _, j := range t.all() {
		out = append(out, j.list()...)
	}
	return out
}

func (t *Tasks) all() []*job {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.jobs)
}

// Moves are the moves of the tasks that run or have run.
func (t *Tasks) Moves() []*Move {
	var out []*Move
	for _, j := range t.all() {
		if j.move != nil {
			out = append(out, j.move)
		}
	}
	return out
}

// Schemas are the schemas that are or were copied.
func (t *Tasks) Schemas() []*SchemaSync {
	var out []*SchemaSync
	for _, j := range t.all() {
		if j.schema != nil {
			out = append(out, j.schema)
		}
	}
	return out
}

// logical reports servers whose changes could not be followed.
func logical(ctx context.Context, d *Database) error {
	for i := range d.Shards {
		err := func() error {
			conn, err := d.Shards[i].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			level, err := one(ctx, conn, "SELECT current_setting('wal_level')")
			if err == nil && level != "logical" {
				err = fmt.Errorf("wal_level is %s: after the cutover its changes could not flow back; set it to logical and restart the server", level)
			}
			return err
		}()
		if err != nil {
			return fmt.Errorf("shard %d of %s (%s): %w", i, d.Name, &d.Shards[i], err)
		}
	}
	return nil
}
