package fleet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
)

// A rehearsal is a dry run: it finds out where the statements of a database would go if it were
// divided, and acts on nothing. It does so in the background; what it does not come to is left out.
type rehearsal struct {
	database string
	config   sharding.Config
	most     int // plans
	log      *slog.Logger
	load     func(ctx context.Context) (*schema.Snapshot, error)
	ctx      context.Context
	stop     context.CancelFunc
	queue    chan overheard

	// Of the goroutine.
	layout *sharding.Layout
	router *route.Router
	read   time.Time // when the schema was
	stale  bool      // it has changed since

	mu    sync.Mutex
	found map[string]*QueryPlan
	stats route.Stats
}

// An overheard is a statement that is being run.
type overheard struct {
	sql     string
	binding *route.Binding
}

// maxOverheard bounds the statements that wait to be looked at, and maxRehearsed their length.
const (
	maxOverheard = 1024
	maxRehearsed = 64 << 10
)

// schemaPause is how often the schema is read at most.
const schemaPause = 50 * time.Millisecond

// dryLayout is how a configuration would divide a database that is on one server: between two, or
// among as many as its rules name.
func dryLayout(c *conf.Config, database string) (*sharding.Config, error) {
	l, err := shards.Layout(c, database)
	if err != nil {
		return nil, err
	}
	l.Shards = max(l.Shards, 2)
	for _, t := range l.Tables {
		for _, r := range t.Rules {
			l.Shards = max(l.Shards, r.Shard+1)
		}
	}
	for _, s := range l.Schemas {
		l.Shards = max(l.Shards, s.Shard+1)
	}
	if _, err := sharding.Compile(l); err != nil {
		return nil, err
	}
	return &l, nil
}

// rehearse begins a dry run, or ends it, as the member's plan says. The fleet's lock is held.
func (m *member) rehearse() {
	m.mu.Lock()
	plan, failed := m.plan, m.err
	m.mu.Unlock()
	f := m.fleet
	if plan.Dry == nil || failed != nil {
		m.rehearsal.Store(nil)
		m.db.Load().Observe(nil)
		return
	}
	r := f.rehearsals[m.pair.database]
	if r != nil && !reflect.DeepEqual(r.config, *plan.Dry) {
		r.stop()
		r = nil
	}
	if r == nil {
		r = &rehearsal{
			database: m.pair.database, config: *plan.Dry, most: max(plan.DryPlans, 1), queue: make(chan overheard, maxOverheard),
			log: f.log.With("database", m.pair.database), found: map[string]*QueryPlan{},
			load: func(ctx context.Context) (*schema.Snapshot, error) {
				p, err := m.pick(ctx, 0, route.Primary)
				if err != nil {
					return nil, err
				}
				return shards.Schema(ctx, p.Backend())
			},
		}
		r.ctx, r.stop = context.WithCancel(context.Background())
		f.rehearsals[m.pair.database] = r
		f.wg.Go(r.run)
	}
	m.rehearsal.Store(r)
	m.db.Load().Observe(m.observe)
}

// observe is proxy.Database's.
func (m *member) observe(sql string, parse, bind []byte) {
	r := m.rehearsal.Load()
	if r == nil || len(sql)+len(bind) > maxRehearsed || len(r.queue) == cap(r.queue) {
		return
	}
	b := &route.Binding{Values: [][]byte{}}
	if parse != nil {
		var err error
		if b, err = proxy.BindingOf(parse, bytes.Clone(bind)); err != nil {
			return // the server will say so
		}
	}
	select {
	case r.queue <- overheard{strings.Clone(sql), b}:
	default:
	}
}

func (r *rehearsal) run() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case o := <-r.queue:
			if err := r.prepare(); err != nil {
				if r.ctx.Err() == nil {
					r.log.Warn("dry_run: the schema cannot be read", "error", err)
				}
				r.wait(time.Second)
				continue
			}
			r.look(o)
		}
	}
}

func (r *rehearsal) wait(d time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(d):
	}
}

// prepare sees to it that there is a router that knows the schema.
func (r *rehearsal) prepare() error {
	if r.router != nil && !r.stale && time.Since(r.read) < schemaAge {
		return nil
	}
	if d := schemaPause - time.Since(r.read); d > 0 {
		r.wait(d)
	}
	ctx, cancel := context.WithTimeout(r.ctx, schemaTimeout)
	defer cancel()
	snap, err := r.load(ctx)
	if err != nil {
		return err
	}
	r.read, r.stale = time.Now(), false
	if r.router != nil {
		r.router.SetSchema(snap)
		return nil
	}
	if r.layout, err = sharding.Compile(r.config); err != nil {
		return err
	}
	r.router = route.New(route.Config{Layout: r.layout, Schema: snap, Plans: r.most})
	return nil
}

// look finds out where a text would go.
func (r *rehearsal) look(o overheard) {
	parts, err := route.Split(o.sql)
	if err != nil {
		return
	}
	for _, p := range parts {
		sql := strings.TrimSpace(o.sql[p.From:p.To])
		var d route.Decision
		s := route.Session{Hint: route.NoHint()}
		err := r.router.Route(&d, sql, &s, o.binding)
		if need, ok := errors.AsType[*sharding.NeedLookup](err); ok {
			_ = need // it is for one shard, whichever the lookup says
			d.Any, err = true, nil
		}
		text := sql
		if d.Plan != nil {
			text = d.Plan.Masked()
			r.stale = r.stale || d.Plan.ReloadSchema
		} else if plan, e := r.router.Prepare(sql, &s); e == nil {
			text = plan.Masked()
		}
		r.note(text, &d, err)
	}
}

// note counts a decision. A refusal is logged before it shows in the figures.
func (r *rehearsal) note(text string, d *route.Decision, err error) {
	r.mu.Lock()
	if err != nil && (r.found[text] == nil || r.found[text].Refused == 0) {
		r.mu.Unlock()
		r.log.Warn("dry_run: several shards could not answer a query", "query", text, "error", err)
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	p := r.found[text]
	if p == nil {
		if len(r.found) >= r.most {
			for old := range r.found { // any of them
				delete(r.found, old)
				break
			}
		}
		p = &QueryPlan{PlanInfo: route.PlanInfo{Query: text}}
		r.found[text] = p
	}
	p.Hits++
	switch {
	case err != nil:
		p.Refused++
	case d.Any || d.Shards.Len() <= 1:
		p.Direct++
		r.stats.Direct++
	default:
		p.Cross++
		r.stats.Cross++
	}
}

func (r *rehearsal) plans() (out []QueryPlan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.found {
		out = append(out, *p)
	}
	return out
}

func (r *rehearsal) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.found)
}

func (r *rehearsal) add(out *route.Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out.Direct += r.stats.Direct
	out.Cross += r.stats.Cross
	out.Plans += len(r.found)
}
