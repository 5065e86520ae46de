package reshard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A Phase is a part of the schema.
type Phase string

// The phases, in their order.
const (
	// Pre is what rows need: tables with their primary keys, types, functions, sequences, views.
	Pre Phase = "pre"
	// Post is what is made faster, or only works, once rows are there: indexes, unique and other
	// constraints, triggers, foreign keys that are not checked yet.
	Post Phase = "post"
	// Cutover takes the sequences over.
	Cutover Phase = "cutover"
)

// ParsePhase reads a phase.
func ParsePhase(s string) (Phase, error) {
	switch p := Phase(strings.ToLower(s)); p {
	case Pre, Post, Cutover:
		return p, nil
	}
	return "", fmt.Errorf("there is no phase %q; there are pre, post and cutover", s)
}

// A Statement is one that makes something on the destination, and what has become of it on a shard.
type Statement struct {
	Phase       Phase
	Kind        string // table, index, …
	Schema, Ob  string // whose it is
	SQL         string
	Shard       int
	State       string // waiting, running, done, exists, failed
	Began, Done time.Time
}

// A SchemaSync copies the schema of a database to all shards of another one.
type SchemaSync struct {
	Source, Destination Database
	PgDump              Program
	// IgnoreErrors goes on after statements that fail.
	IgnoreErrors bool
	// Log gets what is worth telling. Nil discards it.
	Log *slog.Logger

	mu   sync.Mutex
	done []Statement
}

// Statements are those that have been run or are about to.
func (s *SchemaSync) Statements() []Statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.done)
}

// Plan returns the statements of a phase, for each shard the same.
func (s *SchemaSync) Plan(ctx context.Context, phase Phase) ([]Statement, error) {
	if phase == Cutover {
		return s.sequences(ctx)
	}
	conn, err := s.Source.Shards[0].connect(ctx)
	if err != nil {
		return nil, err
	}
	defer shut(ctx, conn)
	program, err := s.PgDump.path(ctx, conn)
	if err != nil {
		return nil, err
	}
	all, err := dump(ctx, &s.Source.Shards[0], program)
	if err != nil {
		return nil, err
	}
	w, err := wideColumns(ctx, conn)
	if err != nil {
		return nil, err
	}
	var out []Statement
	for _, e := range all {
		if e.schema == Schema {
			continue
		}
		if w.widen(&e) && s.Log != nil {
			s.Log.Info("integer keys become bigint", "table", e.schema+"."+e.name)
		}
		at := phaseOf(&e)
		if at != phase {
			continue
		}
		out = append(out, Statement{Phase: phase, Kind: strings.ToLower(e.kind), Schema: e.schema, Ob: e.name, SQL: e.sql})
	}
	return out, nil
}

// primary matches the statement that makes a primary key.
var primary = regexp.MustCompile(`(?s)^ALTER TABLE .* ADD CONSTRAINT .* PRIMARY KEY`)

// deferred are the kinds of objects that come after the rows (pg_dump's section post-data, and what is of
// no use before).
func deferred() []string {
	return []string{"INDEX", "INDEX ATTACH", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "ROW SECURITY", "STATISTICS", "EVENT TRIGGER", "MATERIALIZED VIEW DATA"}
}

func phaseOf(e *entry) Phase {
	switch {
	case e.kind == "CONSTRAINT" && primary.MatchString(e.sql):
		return Pre
	case slices.Contains(deferred(), e.kind):
		if e.kind == "FK CONSTRAINT" && !strings.HasSuffix(strings.TrimSuffix(e.sql, ";"), "NOT VALID") {
			e.sql = strings.TrimSuffix(e.sql, ";") + " NOT VALID;"
		}
		return Post
	case e.kind == "COMMENT" && strings.HasPrefix(e.name, "INDEX "), e.kind == "COMMENT" && (strings.HasPrefix(e.name, "CONSTRAINT ") || strings.HasPrefix(e.name, "TRIGGER ") || strings.HasPrefix(e.name, "RULE ") || strings.HasPrefix(e.name, "POLICY ") || strings.HasPrefix(e.name, "STATISTICS ")):
		return Post
	}
	return Pre
}

// exists reports whether an error says that what a statement makes is there already: duplicate_table,
// duplicate_object, duplicate_function, duplicate_schema; of a primary key, a partition and an identity
// column the server has no such code.
func (st *Statement) exists(c string) bool {
	switch c {
	case "42P07", "42710", "42723", "42P06":
		return true
	case "42P16": // invalid_table_definition: multiple primary keys
		return st.Kind == "constraint"
	case "42809": // wrong_object_type: already a partition
		return st.Kind == "table attach"
	case "55000": // object_not_in_prerequisite_state: already an identity column
		return st.Kind == "sequence"
	}
	return false
}

// Run makes what a phase has, on all shards at once. What is there already stays as it is.
func (s *SchemaSync) Run(ctx context.Context, phase Phase) error {
	plan, err := s.Plan(ctx, phase)
	if err != nil {
		return err
	}
	errs := make([]error, len(s.Destination.Shards))
	var wg sync.WaitGroup
	for d := range s.Destination.Shards {
		wg.Go(func() {
			if err := s.shard(ctx, d, plan); err != nil {
				errs[d] = fmt.Errorf("shard %d of %s (%s): %w", d, s.Destination.Name, &s.Destination.Shards[d], err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// shard runs statements on one shard.
func (s *SchemaSync) shard(ctx context.Context, shard int, plan []Statement) error {
	conn, err := s.Destination.Shards[shard].connect(ctx)
	if err != nil {
		return err
	}
	defer shut(ctx, conn)
	if err := restoring(ctx, conn); err != nil {
		return err
	}
	for i := range plan {
		st := plan[i]
		st.Shard, st.State, st.Began = shard, "running", time.Now()
		s.mu.Lock()
		at := len(s.done)
		s.done = append(s.done, st)
		s.mu.Unlock()
		state := "done"
		err := do(ctx, conn, st.SQL)
		if code(err) == "42809" && st.Kind == "fk constraint" {
			// Before PostgreSQL 18 those of partitioned tables are checked at once or not at all.
			err = do(ctx, conn, strings.TrimSuffix(st.SQL, " NOT VALID;"))
		}
		switch {
		case err == nil:
		case st.exists(code(err)):
			state, err = "exists", nil
		default:
			state = "failed"
		}
		s.mu.Lock()
		s.done[at].State, s.done[at].Done = state, time.Now()
		s.mu.Unlock()
		if err == nil {
			continue
		}
		err = fmt.Errorf("make %s %s: %w", st.Kind, st.Ob, err)
		if !s.IgnoreErrors || code(err) == "" {
			return err
		}
		if s.Log != nil {
			s.Log.Warn("a statement failed", "shard", shard, "error", err)
		}
	}
	return nil
}

// restoring makes a session take what pg_dump writes.
func restoring(ctx context.Context, conn *pgconn.PgConn) error {
	return do(ctx, conn, "SET check_function_bodies = off; SET client_min_messages = warning")
}
