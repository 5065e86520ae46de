package route

import (
	"sync"
	"sync/atomic"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A Class is the kind of a statement, as far as sessions and statistics care.
type Class uint8

// The classes.
const (
	Empty Class = iota
	Select
	Insert
	Update
	Delete
	Merge
	CopyIn
	CopyOut
	DDL
	Set
	Show
	Transaction
	Explain
	Prepare
	Execute
	Deallocate
	Cursor
	Listen
	Notify
	Utility
)

// String returns the word for explanations.
func (c Class) String() string {
	return [...]string{
		"empty", "select", "insert", "update", "delete", "merge", "copy in", "copy out", "ddl", "set", "show",
		"transaction", "explain", "prepare", "execute", "deallocate", "cursor", "listen", "notify", "utility",
	}[c]
}

// A Plan is what is known of a statement before its values are. It is immutable, kept in
// the router's cache, and safe for concurrent use.
type Plan struct {
	// Class is the kind of statement.
	Class Class
	// Write says that only a primary may run it.
	Write bool
	// ReloadSchema says that the schema must be loaded anew once it is done.
	ReloadSchema bool
	// Word is a name that goes with the class: the prepared statement, the cursor, the
	// channel, the setting.
	Word string
	// Inner is the plan of the statement within: of EXPLAIN, PREPARE, DECLARE and COPY
	// (query) TO.
	Inner *Plan
	// Copy describes COPY FROM STDIN and TO STDOUT of a table.
	Copy *Copy
	// Feed is set for an INSERT … SELECT whose rows have to be fetched and placed one by one.
	Feed *Feed
	// Move is set for an UPDATE of the sharding key, which may move rows.
	Move *Move
	// Vacancy is set for what must not be done to a table that has rows.
	Vacancy *Vacancy
	// Notices are warnings for the client.
	Notices []string
	// RouteOnly asks for an explanation of the routing only: EXPLAIN (ROUTE).
	RouteOnly bool

	usage    *usage
	st       *statement
	refs     []*ref   // those that are sharded, and sub-queries that bound them
	real     int      // how many of refs are tables
	every    bool     // all shards, whatever the values
	any      bool     // one shard is as good as another
	anywhere Anywhere // which of them
	first    bool     // the first shard only, though any has the rows
	omni     bool     // writes omnisharded tables: all shards do the same
	why      string
	insert   *insertPlan
	inject   []insertion // what a primary key's value is put in by, before anything else
	fresh    bool        // an INSERT whose key a shard's own sequence makes
	keyless  bool        // an INSERT that gives no value for the key, which is NULL
	channel  string
	base     int   // the token at which the inner statement starts
	replay   bool  // an omnisharded INSERT with volatile values, which the first shard makes
	returns  bool  // a replay has a RETURNING of its own
	fixed    error // why it is refused, whatever the values
	pins     []pin
	hasIDs   bool // calls pgdog.unique_id()
	lasting  bool // may change the session
	text     string
	tokens   []lex.Token
	hints    []lex.Comment
	tables   []string
	views    []string // what else is of sharded tables
	makes    bool     // a table of each shard's own rows
	dist     dist     // of a query's rows
	outputs  []string // its columns; nil if they are not known
	varies   bool     // it may have other rows on each shard, though they have the same
	unknown  []string // tables that the schema does not have

	inMemory atomic.Bool

	staged func() (*steps, error) // another way, where there is none otherwise
	// computed is another way for keys of an INSERT that only a server can make ones of their type.
	computed func() (*steps, error)

	locking func() *locking // another way for a SELECT that locks

	once  sync.Once
	multi func() (*multi, error)
	made  *multi
	err   error
}

// A pin is a literal whose value the plan depends on.
type pin struct {
	tok  int
	text string
}

// A multi is how several shards answer together.
type multi struct {
	spec      *gather.Spec
	sql       template // nil: the client's own text
	limit     *operand
	offset    *operand
	relations []relation
	finish    template
	why       string
}

// A relation is fetched for a gather.Finish.
type relation struct {
	ref *ref
	sql template
}

// A Feed is an INSERT … SELECT in two steps. The session routes and runs the query
// (Decision.FeedSelect), then makes statements of its rows, as many at a time as it likes:
// Decision.FeedBefore, the rows as (…), (…) with every value a literal with a cast to the
// type that the query's RowDescription gave ('t'::boolean), Decision.FeedAfter; and routes
// and runs these, in one transaction. The client's tag is the sum of theirs.
type Feed struct {
	query template
	// Untyped are the columns that are strings without a type: they take that of the column
	// they go to.
	Untyped       []int
	before, after template
}

// A Move is an UPDATE that may change the sharding key, in two steps, in one transaction:
// Decision.SQL, run on Decision.Shards, deletes the rows and returns them as they shall be,
// in the order of Columns; the session then inserts them, with OVERRIDING SYSTEM VALUE, on
// the shards that Key gives (values as for a Feed). The
// client's tag is UPDATE and the number of rows. Foreign keys that refer to the rows see a
// DELETE and an INSERT.
type Move struct {
	Schema, Table string
	Columns       []string
	Key           *sharding.Key
	// KeyAt are the positions of the key's columns among Columns; Fit is what they hold.
	KeyAt []int
	Fit   Fit
	// Alias is the table's name in the RETURNING clause, if it is another; Decision.MoveAfter
	// is that clause, for the INSERTs.
	Alias string

	sql, after template
}

// A Copy describes a COPY of a table.
type Copy struct {
	Schema, Table string
	// Columns are the columns in the data, nil if they are not known (no list, no schema).
	Columns []string
	// Key is the table's sharding key, nil if it is not sharded by one. KeyAt are the
	// positions of its columns in the data; -1 for a column that is not there. Fit is what
	// they hold.
	Key   *sharding.Key
	KeyAt []int
	Fit   Fit
	// Options are those of the WITH clause, in lower case, with their values.
	Options map[string]string
	// Version is the servers' server_version_num; 0 if it is not known.
	Version int
}

// several tells whether the plan has a way for several shards, and why not.
func (p *Plan) several() (*multi, error) {
	if p.multi == nil {
		return nil, nil
	}
	p.once.Do(func() { p.made, p.err = p.multi() })
	return p.made, p.err
}

// Pages reports whether rows merged by spec are to be asked for by the page, since only a
// server may know their order. That is so until SetPages says otherwise.
func (p *Plan) Pages(spec *gather.Spec) bool {
	return (spec.Kind == gather.Ordered || spec.Kind == gather.Unique) && len(spec.Order) > 0 && !p.inMemory.Load()
}

// SetPages takes down that a merge of the plan's rows has found out whether it needs a server.
func (p *Plan) SetPages(server bool) { p.inMemory.Store(!server) }

// A Decision is what to do with one execution of a statement. Its memory is reused by the
// next Route into it.
type Decision struct {
	Plan *Plan
	// Shards are those that take part.
	Shards sharding.Set
	// Any says that one of Shards is enough, whichever.
	Any bool
	// Open says that it is no decision yet: it depends on parameters whose values the
	// Binding did not have.
	Open bool
	// Role is which server of a shard may run it. RoleNamed says that it was named by hand.
	Role      Role
	RoleNamed bool
	// SQL replaces the client's text on every shard. Empty: the client's bytes as they are.
	SQL string
	// Params are the client's parameters that SQL, and the texts of Queries, use as $1, $2
	// and so on, by their numbers. Meaningless where the client's text is sent.
	Params []int
	// Queries are texts that differ by shard (a split INSERT), instead of SQL.
	Queries []Query
	// Merge says how the answers become one. Nil if one shard answers.
	Merge *gather.Spec
	// Limit and Offset are the rows to return and to skip first; -1 is no limit. Shards may
	// return more, up to both together.
	Limit, Offset int64
	// Relations are to be fetched for Merge.Finish, in its order; the one that is Own stands
	// for SQL and Shards above.
	Relations []Query
	// Finish is the SQL of Merge.Finish, FinishParams its parameters, and FinishShard a
	// shard that can run it.
	Finish       []gather.Piece
	FinishParams []int
	FinishShard  int
	// Replay says that SQL is to be run on the lowest of Shards only, and the rows that it
	// returns are to be inserted, with OVERRIDING SYSTEM VALUE, on the others: the values of
	// an omnisharded table that are computed must be the same everywhere. The client gets the
	// columns that are before the table's own, if there are any, and the tag.
	Replay bool
	// FeedSelect, FeedBefore and FeedAfter are the parts of a Plan.Feed, FeedParams the
	// parameters of the query. (FeedAfter has none.)
	FeedSelect, FeedBefore, FeedAfter string
	MoveAfter                         string
	FeedParams                        []int
	// Steps, if there are any, are to be run one after the other, in one transaction, each
	// routed by itself, and Last after them in the same way: its answer is the statement's.
	Steps []Staged
	Last  Staged
	// StepsTag, if it is not empty, is the statement's own tag, whose rows are those of all its
	// steps that write together; there is no Last then. StepsReturn says that it returns rows.
	StepsTag    string
	StepsReturn bool
	// Locking is set for a SELECT that locks the first rows of several shards.
	Locking *Locking
	// Why explains the decision.
	Why string

	env   env
	key   []byte
	sc    lex.Scanner
	found finding
}

// A Query is SQL for some shards.
type Query struct {
	Shards sharding.Set
	SQL    string
	Params []int
	// Rows is how many rows of a split INSERT it has.
	Rows int
}

// A Role says which server of a shard may run a statement.
type Role uint8

// The roles.
const (
	// Primary must run it.
	Primary Role = iota
	// Replica should run it, if there is one that is allowed to.
	Replica
	// PreferPrimary should not go to a replica unless there is no primary.
	PreferPrimary
	// AnyRole leaves it to the balancer.
	AnyRole
)

// String returns PgDog's word.
func (r Role) String() string {
	return [...]string{"primary", "replica", "prefer-primary", "any"}[r]
}
