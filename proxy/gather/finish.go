package gather

// A Finish lets a server do the last step, over rows that the shards gave: expressions over
// aggregates, HAVING, collations, types that the merger cannot compare, joins that no shard
// can do alone.
//
// The merger fetches each of Relations, puts its rows where one server can read them, and
// runs SQL there; what comes back is the answer, complete and in order. Any shard will do,
// since each has all omnisharded tables; route's Decision names one. How rows get there is
// the merger's choice: literals in a VALUES list suit few rows, COPY into a temporary table
// (ON COMMIT DROP, dropped after the statement otherwise) many. It must bound memory, and
// refuse (54000, with a hint to narrow the query) at its limit.
//
// Parameters keep the types that the client's statement gave them, which the ParameterDescription
// of the client's own text (parsed on any shard) tells. The names of the answer's columns are
// those that the Finish's RowDescription has.
type Finish struct {
	Relations []Relation
}

// A Relation is what is fetched from the shards to be read by a Finish.
type Relation struct {
	// Columns of the relation, in the order in which the shards return them. The shards'
	// RowDescription gives the types, which must be kept exactly, typmod included.
	Columns []RelationColumn
	// Row is the name of a composite type whose values the rows' only column is the text of,
	// for whoever refers to whole rows; empty: the columns are what they are.
	Row string
	// Own says that the relation's rows are the rows of the statement's own shard query
	// (Kind is not Pull), so that it is not fetched by a query of its own.
	Own bool
}

// A RelationColumn is a column of a Relation.
type RelationColumn struct {
	// Name is the column's name in the Finish's SQL, unquoted.
	Name string
	// Collation is to be attached to the column, as in (v COLLATE "C"), if it is known and
	// not the default; it is then implicit for whoever reads it, as in a table.
	Collation Collation
}

// A Piece is a part of a Finish's SQL text, which is the concatenation of its pieces.
type Piece struct {
	Kind PieceKind
	// Text is the text of a Text piece, and a name for a column of those kinds that need one.
	Text string
	// Relation and Column are what the other kinds refer to.
	Relation, Column int
}

// A PieceKind says what stands for a [Piece].
type PieceKind uint8

// The kinds of pieces.
const (
	// Text is literal SQL.
	Text PieceKind = iota
	// Source is something that can stand in a FROM clause before an alias with column
	// names being those of the relation: a temporary table's name, or a parenthesized
	// (SELECT … FROM (VALUES …)). An empty relation still has its typed columns.
	Source
	// TypeOf is the name of the type of the relation's column, as format_type prints it
	// with the typmod: a cast that gives a combined aggregate the type it must have.
	TypeOf
	// Values, of a step rather than a relation, is a list of its rows: (VALUES (…), (…)).
	Values
	// Names is the list of the names of its columns: ("a", "b").
	Names
	// Value is the first column of its only row, as a literal.
	Value
	// Numbered stands for all rows in a FROM clause before an alias, with a relation before it that
	// is called Text and has a column Text_n with the rows' numbers, from 0.
	Numbered
	// Taken is Numbered with the rows only whose numbers the step called Column has returned, Left
	// with the others.
	Taken
	Left
	// Marked is Numbered, but Text_n says which rows Taken has.
	Marked
	// Placed is Numbered with the rows that the step called Column gives the numbers of, in its first
	// column, and belong to a shard: Text has columns Text_r0, Text_r1, … for those of that step.
	Placed
	// Whole is a row of the function called Text in FROM: what it returns, if that is one column.
	Whole
)
