package route

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Config is what a [Router] needs.
type Config struct {
	// Layout says where rows are. Required.
	Layout *sharding.Layout
	// Schema is the schema as last loaded. Nil: not known, with which more is refused.
	Schema *schema.Snapshot
	// Plans is how many plans the cache holds. Default: 5,000.
	Plans int
	// PlanBytes is about how much memory they may take. Default: 64 MB.
	PlanBytes int
	// MaxCached is the longest statement, in bytes, whose plan is kept. Default: 64 kB.
	MaxCached int
	// CrossShardDisabled refuses statements that several shards would have to answer.
	CrossShardDisabled bool
	// Aggressive is the read/write strategy: in a transaction not declared READ ONLY, the
	// first statement decides which server it gets. Default (conservative): a primary.
	Aggressive bool
	// Advise is asked about each statement, each time that it is routed: its hint goes before
	// those of clients, its error refuses the statement. Default: nobody is asked.
	Advise func(q *Question) (Hint, error)
	// Slow is told of statements that took at least SlowParse to parse and plan. Default: nobody
	// is told.
	Slow      func(sql string, took time.Duration)
	SlowParse time.Duration
	// PrimaryKey says what becomes of an INSERT without a primary key of type bigint.
	PrimaryKey PrimaryKey

	inside []*schema.Table // whose triggers are being looked into
}

// A Router makes decisions. It is safe for concurrent use.
type Router struct {
	cfg     Config
	state   atomic.Pointer[state]
	usage   usage        // direct and cross, of all plans
	parsing atomic.Int64 // nanoseconds
}

// A state is what changes with the schema.
type state struct {
	snap  *schema.Snapshot
	cache *cache
}

// New makes a router. It does no I/O and starts nothing.
func New(cfg Config) *Router {
	if cfg.Plans <= 0 {
		cfg.Plans = 5000
	}
	if cfg.PlanBytes <= 0 {
		cfg.PlanBytes = 64 << 20
	}
	if cfg.MaxCached <= 0 {
		cfg.MaxCached = 64 << 10
	}
	r := &Router{cfg: cfg}
	r.SetSchema(cfg.Schema)
	return r
}

// SetSchema replaces the schema, after DDL, and forgets all plans. Plans in use stay valid.
func (r *Router) SetSchema(s *schema.Snapshot) {
	r.state.Store(&state{snap: s, cache: newCache(r.cfg.Plans, r.cfg.PlanBytes)})
}

// A Session is what the router must know of a client's session. The zero value is a session
// at its start, but for Hint, which must be [NoHint].
type Session struct {
	// Path is the search_path, without $user. Nil: public.
	Path []string
	// Hint is what SET and startup options say. A comment goes before it.
	Hint Hint
	// InTransaction and ReadOnly say what the session is in. OnReplica says that the
	// transaction has begun on a replica (by the aggressive strategy), Started that it has
	// begun on any server.
	InTransaction, ReadOnly, Started, OnReplica bool
	// EscapeStrings says that standard_conforming_strings is off.
	EscapeStrings bool
	// Encoding is that of the client's texts.
	Encoding Encoding
}

func (s *Session) path() []string {
	if s == nil || s.Path == nil {
		return publicPath
	}
	return s.Path
}

var publicPath = []string{"public"}

// ErrSeveral reports a text of several statements, which [Split] takes apart.
var ErrSeveral = errors.New("several statements in one text")

// Split cuts a text into its statements, by their offsets.
func Split(sql string) ([]lex.Range, error) {
	var s lex.Scanner
	if err := s.Scan(sql); err != nil {
		return nil, scanError(err)
	}
	out := lex.Split(nil, sql, s.Tokens)
	for i, r := range out {
		from := 0 // comments before a statement belong to it
		if i > 0 {
			from = out[i-1].To
			for from < len(sql) && sql[from] != ';' {
				from++
			}
			from++
		}
		to := len(sql)
		if r.To < len(s.Tokens) {
			to = int(s.Tokens[r.To].Start)
		}
		out[i] = lex.Range{From: from, To: to}
	}
	return out, nil
}

func scanError(err error) error {
	return &wire.Error{Code: wire.CodeSyntaxError, Message: err.Error()}
}

// Route decides where one statement goes. b may be nil where there are no parameters; with
// parameters whose values are not known yet, the decision is what is true for all values.
// sql is not kept. Errors are [*wire.Error], or a [*sharding.NeedLookup], or ErrSeveral.
func (r *Router) Route(d *Decision, sql string, s *Session, b *Binding) error {
	p, hints, err := r.lookup(d, sql, s)
	if err != nil {
		return err
	}
	if p.inject != nil {
		sql = splice(d.env.sql, d.env.toks, p.inject)
		if p, hints, err = r.lookup(d, sql, s); err != nil {
			return err
		}
	}
	advice, err := r.advise(d, p, sql, s, b)
	if err != nil {
		return err
	}
	if err := r.decide(d, p, hints, d.env.sql, s, b, advice); err != nil {
		return err
	}
	r.count(d, p, b)
	return nil
}

// Prepare parses and plans a statement, and puts it into the cache, without deciding.
func (r *Router) Prepare(sql string, s *Session) (*Plan, error) {
	var d Decision
	p, _, err := r.lookup(&d, sql, s)
	return p, err
}

// lookup finds or makes the plan. After it, d.env has the statement's text and tokens.
func (r *Router) lookup(d *Decision, sql string, s *Session) (*Plan, []lex.Comment, error) {
	st := r.state.Load()
	path := s.path()
	d.sc.Hints = d.sc.Hints[:0]
	elsewhere := s.elsewhere(sql)
	if e := st.cache.text(path, sql); e != nil && !elsewhere {
		d.env.sql, d.env.toks = e.plan.text, e.plan.tokens
		e.plan.usage.hits.Add(1)
		return e.plan, e.plan.hints, nil
	}
	if err := d.sc.Scan(sql); err != nil {
		return nil, nil, scanError(err)
	}
	toks := d.sc.Tokens
	if elsewhere {
		if err := s.readable(sql, toks); err != nil {
			return nil, nil, err
		}
	}
	for len(toks) > 0 && toks[len(toks)-1].Is(sql, ";") {
		toks = toks[:len(toks)-1]
	}
	for len(toks) > 0 && toks[0].Is(sql, ";") {
		toks = toks[1:]
	}
	if plain, ok := withoutTable(sql, toks); ok {
		d.sc.Hints = d.sc.Hints[:0]
		if err := d.sc.Scan(plain); err != nil {
			return nil, nil, scanError(err)
		}
		sql, toks = plain, d.sc.Tokens
		for len(toks) > 0 && toks[len(toks)-1].Is(sql, ";") {
			toks = toks[:len(toks)-1]
		}
	}
	if s != nil && s.EscapeStrings && slices.ContainsFunc(toks, func(t lex.Token) bool { return t.Backslash }) {
		return nil, nil, refuse("a string with a backslash, while standard_conforming_strings is off", "write it as E'…'")
	}
	d.env.sql, d.env.toks = sql, toks
	d.key = lex.AppendKey(d.key[:0], sql, toks)
	if e := st.cache.key(path, d.key, sql, toks); e != nil {
		e.plan.usage.hits.Add(1)
		return e.plan, d.sc.Hints, nil
	}
	if parts := lex.Split(nil, sql, toks); len(parts) > 1 {
		return nil, nil, ErrSeveral
	}
	// The plan outlives the text.
	own := strings.Clone(sql)
	kept := slices.Clone(toks)
	pb := &builder{layout: r.cfg.Layout, snap: st.snap, path: slices.Clone(path), primary: r.cfg.PrimaryKey, inside: r.cfg.inside}
	p, err := r.timed(pb, own, kept)
	if err != nil {
		return nil, nil, err
	}
	p.text, p.tokens, p.usage, p.lasting = own, kept, &usage{}, lasting(own)
	p.hints = slices.Clone(d.sc.Hints)
	if len(sql) <= r.cfg.MaxCached {
		st.cache.add(path, string(d.key), p)
	}
	return p, d.sc.Hints, nil
}

// timed makes a plan, and tells if that took long.
func (r *Router) timed(pb *builder, sql string, toks []lex.Token) (*Plan, error) {
	start := time.Now()
	p, err := pb.plan(sql, toks)
	took := time.Since(start)
	r.parsing.Add(int64(took))
	if r.cfg.Slow != nil && r.cfg.SlowParse > 0 && took >= r.cfg.SlowParse {
		r.cfg.Slow(sql, took)
	}
	return p, err
}

// Stats counts what the cache did.
type Stats struct {
	Plans           int
	TextHits, Hits  uint64 // found by text, by key
	Misses, Evicted uint64
	// Direct and Cross count decisions for one shard and for several, Parsing is the time spent on
	// plans; both since the router was made.
	Direct, Cross uint64
	Parsing       time.Duration
}

// Stats returns the counts since the schema was last set.
func (r *Router) Stats() Stats {
	s := r.state.Load().cache.stats()
	s.Direct, s.Cross, s.Parsing = r.usage.direct.Load(), r.usage.cross.Load(), time.Duration(r.parsing.Load())
	return s
}
