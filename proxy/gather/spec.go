package gather

// A Kind says what the merger does with the shards' rows.
type Kind uint8

// The kinds there are.
const (
	// Concat passes rows on as they come, shard after shard or mixed, until the limit.
	Concat Kind = iota
	// Ordered merges streams that each shard has sorted by Spec.Order.
	Ordered
	// Unique passes one of each set of rows that are equal in Spec.Distinct. The streams
	// are sorted by Spec.Order, if there is one; the row to keep is the first in it.
	Unique
	// Aggregate combines partial aggregates by Spec.Local. If Local is nil the combination
	// needs a server: see Spec.Finish.
	Aggregate
	// Pull fetches the relations of Spec.Finish and runs its SQL on one server; there is
	// no query whose rows could be merged without one.
	Pull
)

// String returns the word that explanations use.
func (k Kind) String() string {
	return [...]string{"concat", "ordered", "unique", "aggregate", "pull"}[k]
}

// A Column is a column of the shards' rows, counted from 0; a negative one counts from the
// end, -1 being the last, hidden ones included. (The number of columns is unknown to the
// planner where a * stands among them.)
type Column int

// Index returns the position of c in rows of n columns, or -1 if there is none.
func (c Column) Index(n int) int {
	if c < 0 {
		c += Column(n)
	}
	if c < 0 || int(c) >= n {
		return -1
	}
	return int(c)
}

// A Spec says how to merge. The zero value concatenates.
type Spec struct {
	Kind Kind

	// Hidden is how many columns at the end of the shards' rows the client must not see,
	// neither in RowDescription nor in rows.
	Hidden int

	// Order are the keys by which every shard has sorted its rows and by which the answer
	// is sorted, the most significant first.
	Order []Key

	// DistinctAll makes Unique compare all visible columns; else Distinct names them.
	// Equality is that of the type's default btree class, NULLs being equal.
	DistinctAll bool
	Distinct    []Column

	// Local combines partial aggregates without a server. Nil unless Kind is Aggregate and
	// each output is a group key or a simple aggregate.
	Local *Local

	// WithTies is FETCH FIRST … WITH TIES: after the limit, rows go on as long as they are
	// equal to the last one in all Order keys.
	WithTies bool

	// Finish is the merge done by a server. Set for Aggregate and Pull. For Ordered and Unique
	// the merger that cannot compare a type exactly can make its own: the rows in a relation,
	// SELECT [DISTINCT [ON (Distinct)]] visible columns FROM it ORDER BY Order.
	Finish *Finish

	// Turns are, for Concat, the streams whose turn it is, row by row, counted from 0 in the
	// order of the shards: the rows of an INSERT … VALUES … RETURNING come back in the order
	// in which they were written, as from one server. A stream that has ended is passed over
	// (ON CONFLICT DO NOTHING); rows that are left come after the others.
	Turns []int

	// Tag says how the shards' CommandComplete tags become one.
	Tag Tag
}

// A Key is one key of an ORDER BY.
type Key struct {
	Column     Column
	Descending bool
	// NullsFirst is always explicit: PostgreSQL's default is first if descending, else last.
	NullsFirst bool
	// Collation is the collation by which strings are compared. It has no meaning for types
	// that have none.
	Collation Collation
}

// A Collation is what the planner knows about how strings in a column compare.
type Collation struct {
	// Known is false where it could not be derived; only a server can compare then, and
	// only in a Finish that keeps the expression.
	Known bool
	// Name is the collation's name as in COLLATE, quoted and qualified if need be, such as
	// "C" or pg_catalog."und-x-icu". Empty: the database's default.
	Name string
	// Bytewise says that comparing is comparing bytes (C, POSIX, and a database whose
	// default is one of these).
	Bytewise bool
	// Nondeterministic says that different strings may be equal.
	Nondeterministic bool
}

// Local describes rows made of group keys and partial aggregates.
type Local struct {
	// Keys are the columns by which partial rows belong together; none: they all do, and
	// the answer is exactly one row.
	Keys []Column
	// Outputs are the answer's columns. Order and Distinct refer to these, not to the
	// shards' columns, when Local is used; the shards' rows are then in no order.
	Outputs []Output
}

// An Output is a column of an aggregated answer.
type Output struct {
	// Combine is how: Same takes the value of a group key.
	Combine Combine
	// Column is the shards' column: the key, or the partial aggregate.
	Column Column
	// Count is the column of the partial count that goes with an Avg.
	Count Column
	// Name is the name that the client sees.
	Name string
}

// A Combine is a function that makes one aggregate of partial ones. NULL partials (of
// shards where no row matched) are skipped; if there are only such, the result is NULL. The
// type of a result is that of the partial, except for Avg.
type Combine uint8

// The combinations there are.
const (
	Same  Combine = iota // a group key: equal in all partial rows
	Sum                  // sum: overflow of a bigint is an error (22003), numerics are exact
	Count                // sum of bigints; 0 if there is none
	Min
	Max
	BoolAnd
	BoolOr
	BitAnd
	BitOr
	BitXor
	// Avg divides the sum of Column by the sum of Count. Column is a bigint or numeric:
	// the result is the numeric that numeric_div gives (select_div_scale in numeric.c);
	// a float8: a float8; an interval: interval_div's.
	Avg
)

// A Tag says how command tags are combined.
type Tag uint8

// The ways there are.
const (
	// TagSum adds the row counts of all shards: the rows that were returned for SELECT and
	// FETCH (after LIMIT), the affected rows for the writes of sharded tables.
	TagSum Tag = iota
	// TagSame takes any one shard's tag and rows: all did the same (omnisharded tables, DDL). If
	// the counts differ, copies of an omnisharded table have diverged; the merger reports
	// that as an error.
	TagSame
	// TagTotal adds the row counts of all shards, whatever the command: those of tables that each
	// made of its own rows, which are not returned.
	TagTotal
)
