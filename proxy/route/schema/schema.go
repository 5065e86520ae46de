// Package schema holds what the router must know of a database's catalogs: tables, their
// columns with types and collations, keys, and what functions may do.
//
// A [Snapshot] is read by [Load] from one shard, never changes afterwards, and is safe for
// concurrent use; after DDL a new one takes its place. The zero Snapshot knows nothing, with
// which the router refuses more, but answers nothing wrongly.
package schema

import (
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

// ShardSequenceFunction is the function, of a shard's sequence's name, that returns its next
// number which hashes to the shard, and thereby never what another shard's returns.
const ShardSequenceFunction = "pgdog.next_id_seq"

// A Snapshot is the schema of one database.
type Snapshot struct {
	// Database is the database's name.
	Database string
	// Bytewise says that the default collation compares bytes (C or POSIX).
	Bytewise bool
	// Version is server_version_num, such as 150020.
	Version int
	// Path are the schemas in which names without one in the definitions of views are.
	Path []string

	tables    map[string][]*Table
	functions map[string][]*Function
	types     map[string]hash.OID

	nondeterministic map[string]bool // names of collations
}

// A Table is a table, partitioned table, view, materialized view or foreign table.
type Table struct {
	Schema, Name string
	// Kind is pg_class.relkind: r, p, v, m or f.
	Kind    byte
	Columns []Column
	// Primary are the columns of the primary key.
	Primary []string
	// Unique are the column sets of all unique indexes, the primary key's among them. One
	// on an expression or with a predicate lists the columns it has.
	Unique [][]string
	// Parent is the topmost table that this one is a partition or child of, nil if none.
	Parent *Table
	// Triggers says that the table has triggers of its own (not those of constraints), or
	// rules, or is referred to by foreign keys that change other tables with it.
	Triggers bool
	// Fires are its triggers, by name.
	Fires []Trigger
	// Definition is the query of a view or materialized view, as pg_get_viewdef has it; empty for
	// tables, and for those of the system.
	Definition string
	// Secured says that the table has row security.
	Secured bool
	// Differs says how the table is not the same on another shard, in a way that could change
	// what statements mean; empty if it is the same on all.
	Differs string
}

// A Trigger calls a function when rows of its table are written.
type Trigger struct {
	Schema, Function, Language, Body string
	// When is pg_trigger.tgtype, bits of which say for what.
	When int
}

// Bits of Trigger.When (TRIGGER_TYPE_ROW and others in pg_trigger.h).
const (
	TriggerRow, TriggerBefore                                    = 1, 2
	TriggerInsert, TriggerDelete, TriggerUpdate, TriggerTruncate = 4, 8, 16, 32
)

// A Column is a column of a table.
type Column struct {
	Name string
	Type hash.OID
	// TypeName is format_type's, with the typmod.
	TypeName  string
	Collation gather.Collation
	NotNull   bool
	// Default says that a row without a value gets one that is not NULL; Volatile, that it
	// may differ between shards (nextval, now, random, an identity column).
	Default, Volatile bool
	// Sequence says that the default is taken from a sequence.
	Sequence bool
	// ShardSequence says that the default is a number which hashes to the shard that makes
	// it (see [ShardSequenceFunction]).
	ShardSequence bool
	// Generated says that the value is computed from other columns.
	Generated bool
}

// A Function is a function, aggregate or procedure.
type Function struct {
	Schema, Name string
	// Kind is pg_proc.prokind: f, a, w or p.
	Kind byte
	// Volatility is pg_proc.provolatile: i, s or v.
	Volatility byte
	// Opaque says that its body may read tables: it is written in SQL or a PL.
	Opaque bool
	// Set says that it returns a set.
	Set bool
}

// Table finds a table. schema may be empty: then the first of path that has it.
func (s *Snapshot) Table(schema, name string, path []string) *Table {
	if s == nil {
		return nil
	}
	candidates := s.tables[name]
	if schema != "" {
		path = []string{schema}
	} else if len(candidates) > 0 && !slices.Contains(path, "pg_catalog") {
		path = append([]string{"pg_catalog"}, path...)
	}
	for _, p := range path {
		for _, t := range candidates {
			if t.Schema == p {
				return t
			}
		}
	}
	return nil
}

// Functions returns all functions of a name, in any schema unless one is given.
func (s *Snapshot) Functions(schema, name string) []*Function {
	if s == nil {
		return nil
	}
	if schema == "" {
		return s.functions[name]
	}
	var out []*Function
	for _, f := range s.functions[name] {
		if f.Schema == schema {
			out = append(out, f)
		}
	}
	return out
}

// Type finds a type by its name (pg_type.typname), and returns 0 if it is unknown.
func (s *Snapshot) Type(name string) hash.OID {
	if s == nil {
		return 0
	}
	return s.types[name]
}

// Nondeterministic reports whether there is a collation of this name by which different
// strings may be equal; of no name: any.
func (s *Snapshot) Nondeterministic(name string) bool {
	if s == nil || name == "" {
		return s != nil && len(s.nondeterministic) > 0
	}
	return s.nondeterministic[name]
}

// All yields every table.
func (s *Snapshot) All(yield func(*Table) bool) {
	if s == nil {
		return
	}
	for _, list := range s.tables {
		for _, t := range list {
			if !yield(t) {
				return
			}
		}
	}
}

// Adopt adds the tables of another shard's schema that are not known here. It must not be
// called once the snapshot is in use.
func (s *Snapshot) Adopt(o *Snapshot) {
	for t := range o.All {
		if s.Table(t.Schema, t.Name, nil) == nil {
			s.tables[t.Name] = append(s.tables[t.Name], t)
		}
	}
}

// Empty reports whether nothing is known.
func (s *Snapshot) Empty() bool { return s == nil || len(s.tables) == 0 }

// Column finds a column; -1 if there is none.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}

// View reports whether the table is a view or a materialized view.
func (t *Table) View() bool { return t != nil && (t.Kind == 'v' || t.Kind == 'm') }

// Names returns the columns' names.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// New makes a snapshot by hand, for tests and for what is configured rather than read.
func New(tables []*Table, functions []*Function) *Snapshot {
	s := &Snapshot{tables: map[string][]*Table{}, functions: map[string][]*Function{}, types: map[string]hash.OID{}, nondeterministic: map[string]bool{}}
	for _, t := range tables {
		s.tables[t.Name] = append(s.tables[t.Name], t)
	}
	for _, f := range functions {
		s.functions[f.Name] = append(s.functions[f.Name], f)
	}
	return s
}
