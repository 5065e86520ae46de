package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A code is what is read of the body of a DO, which every shard carries out by itself.
type code struct {
	pb      *builder
	dynamic bool   // it has EXECUTE
	writes  bool   // it changes rows of omnisharded tables, as far as can be told
	differs string // what may have another value on each shard
	// computed says that an EXECUTE reads or writes rows of a table whose name is put into its text,
	// adds that it inserts some; named is a sharded table that a string names, names that one names any.
	computed, adds, names bool
	named                 string
	alters, changes       string // an ALTER TABLE of a table whose name is computed, and what one may change
	err                   error
	what, hint            string // it, and what to do about it
	// target is what rows a trigger, whose function it is, is called for; nil for a DO.
	target *ref
}

// doBlock refuses a DO that is not the same on every shard: one that reads or writes rows of
// sharded tables, of which each shard has some, or would write other values into each copy of an
// omnisharded one. What changes the tables themselves is for all of them.
func (pb *builder) doBlock(st *statement) error {
	if pb.layout.Shards == 1 || len(pb.layout.Keys()) == 0 {
		return nil
	}
	c := &code{pb: pb, what: "a DO", hint: "send the statements as they are, or name the shard by a comment such as /* pgdog_shard: 0 */"}
	for i, t := range st.toks {
		if t.Kind != lex.String || st.is(i-1, "language") {
			continue
		}
		body, ok := t.AppendValue(nil, st.sql)
		if ok {
			c.read(string(body), 0)
		}
	}
	return c.verdict()
}

// verdict is what all that was read of it comes to.
func (c *code) verdict() error {
	if c.err == nil && c.computed && (c.named != "" || c.adds && !c.names) {
		c.err = refuse(c.what+" reads or writes rows of "+orSay(c.named, "a table whose name is computed")+", of which every shard may have its own, on each of them by itself", c.hint)
	}
	switch {
	case c.err != nil || c.differs == "":
	case c.target == nil && c.writes:
		c.err = refuse("a DO that writes with "+c.differs+" would leave the copies of an omnisharded table different", "compute the value first, and send the write as a statement of its own")
	case c.target != nil && c.target.key == nil && !c.target.blind:
		c.err = refuse(c.what+" has another value of "+c.differs+" on each shard, which would leave the copies of an omnisharded table different", c.hint)
	}
	if c.err == nil && c.alters != "" && c.changes != "" {
		c.err = refuse(c.what+" may "+c.changes+" of a table whose name is computed, by which its rows may be divided in another way", c.hint)
	}
	return c.err
}

// altering looks at an ALTER in code, at a token, for what would divide a table in another way.
func (c *code) altering(st *statement, at int) {
	end := at
	for end < len(st.toks) && !st.is(end, ";") {
		end++
	}
	if _, err := c.pb.altered(st, at, end); err != nil {
		c.err = err // whether the table has rows is known to nobody before
	}
	name := at + 2
	for st.is(name, "if") || st.is(name, "exists") || st.is(name, "only") {
		name++
	}
	if st.is(at+1, "table") && (name >= end || strings.HasPrefix(st.toks[name].Text(st.sql), "%")) || end == at+1 {
		c.alters = "alter"
	}
}

// changing notes what a text that may be a part of an ALTER would change.
func (c *code) changing(st *statement, i int) {
	switch {
	case st.is(i, "rename"):
		c.changes = "RENAME something"
	case st.is(i, "set") && st.is(i+1, "schema"):
		c.changes = "SET SCHEMA"
	case st.is(i, "attach"), st.is(i, "detach"), st.is(i, "inherit"):
		c.changes = strings.ToUpper(st.ident(i)) + " a part"
	case st.is(i, "column") && i+1 < len(st.toks) && strings.HasPrefix(st.toks[i+1].Text(st.sql), "%"):
		c.changes = orSay(strings.ToUpper(st.ident(i-1)), "change") + " a column"
	case st.is(i, "add"), st.is(i, "drop"), st.is(i, "alter"):
		for _, change := range st.columnChanges(i, len(st.toks)) {
			if slices.ContainsFunc(c.pb.layout.Keys(), func(k *sharding.Key) bool { return slices.Contains(k.Columns, change.name) }) {
				c.changes = strings.ToUpper(change.verb) + " column " + change.name
			}
		}
	}
}

// aboutTables are the words before a table's name where it is not its rows that are meant.
var aboutTables = []string{"table", "on", "exists", "references", "of", "type", "index", "view", "inherit", "inherits", "add"}

// varies are functions and the like whose values differ between shards, however little.
var varies = []string{
	"random", "now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "gen_random_uuid", "uuid_generate_v*",
	"nextval", "currval", "lastval", "txid_current", "pg_current_xact_id", "current_timestamp", "localtimestamp", "current_time", "localtime",
	"pg_backend_pid", "random_normal", "uuidv*",
}

func (c *code) read(sql string, depth int) {
	var s lex.Scanner
	if depth > 3 || s.Scan(sql) != nil {
		return
	}
	st := &statement{sql: sql, toks: s.Tokens}
	if depth > 0 && len(st.toks) < 2 {
		c.lone(st) // a name, which makes no statement
		return
	}
	if depth > 0 {
		c.placed(st)
		for i := range st.toks {
			c.changing(st, i)
		}
	}
	for i := range st.toks {
		if st.is(i, "alter") && !st.is(i-1, ",") && c.err == nil {
			c.altering(st, i)
		}
	}
	c.dynamic = c.dynamic || st.has("execute")
	var along []lex.Range
	if depth == 0 {
		along = c.alongside(st)
	}
	for i, t := range st.toks {
		if c.err != nil {
			return
		}
		if slices.ContainsFunc(along, func(r lex.Range) bool { return i >= r.From && i < r.To }) {
			continue
		}
		switch t.Kind {
		case lex.String:
			if text, ok := t.AppendValue(nil, sql); ok && c.dynamic {
				c.read(string(text), depth+1)
			}
		case lex.Word, lex.Quoted:
			c.word(st, i)
		}
	}
}

// lone notes a string that is a name alone, which may be put into the text of an EXECUTE.
func (c *code) lone(st *statement) {
	if len(st.toks) == 0 || st.toks[0].Kind != lex.Word && st.toks[0].Kind != lex.Quoted {
		return
	}
	name := st.toks[0].Ident(st.sql)
	t := c.pb.snap.Table("", name, c.pb.path)
	if t == nil && !c.pb.snap.Empty() {
		return
	}
	c.names = true
	if r := c.pb.placed("", name, t); r.key != nil || r.blind {
		c.named = name
	}
}

// placed notes a text about the rows of a table whose name is put into it: by format, or at its end.
func (c *code) placed(st *statement) {
	switch st.toks[0].Ident(st.sql) {
	case "insert", "update", "delete", "merge", "select", "with":
	default:
		return
	}
	for i := range st.toks {
		if !st.is(i, "into") && !st.is(i, "from") && !st.is(i, "join") && !st.is(i, "update") && !st.is(i, "only") {
			continue
		}
		if i+1 < len(st.toks) && !strings.HasPrefix(st.toks[i+1].Text(st.sql), "%") {
			continue
		}
		c.computed = true
		c.adds = c.adds || st.is(i, "into") && (st.is(i-1, "insert") || st.is(i-1, "merge"))
	}
}

func (c *code) word(st *statement, i int) {
	name, schema, before := st.toks[i].Ident(st.sql), "", i-1
	if st.is(i-1, ".") && i >= 2 {
		schema, before = st.toks[i-2].Ident(st.sql), i-3
	}
	switch {
	case st.is(i+1, "."):
		return // the schema, or a row that is named elsewhere
	case listed(varies, name):
		if c.differs == "" {
			c.differs = name
		}
	case name == "insert" || name == "update" || name == "merge":
		c.writes = true
	}
	if st.is(i+1, "(") && !st.is(before, "into") && !slices.ContainsFunc(aboutTables, func(w string) bool { return st.is(before, w) }) {
		if listed(c.pb.layout.LocalFunctions, name) || listed(c.pb.layout.LocalFunctions, schema+"."+name) {
			return
		}
		for _, f := range c.pb.snap.Functions(schema, name) {
			if f.Opaque && f.Volatility != 'i' {
				c.err = refuse(c.what+" calls function "+name+", which may read tables, of which it would see one shard only",
					"declare it IMMUTABLE if it reads none, list it under local_functions, or name the shard by a comment")
			}
		}
		if !st.is(before, "from") && !st.is(before, "join") && !st.is(before, "update") {
			return
		}
	}
	for st.is(before, "only") || st.is(before, "exists") || st.is(before, "not") || st.is(before, "if") || st.is(before, "concurrently") {
		before--
	}
	t := c.pb.snap.Table(schema, name, c.pb.path)
	switch r := c.pb.placed(schema, name, t); {
	case r.key != nil || r.blind:
		if t == nil && !c.pb.snap.Empty() || slices.ContainsFunc(aboutTables, func(w string) bool { return st.is(before, w) }) {
			return
		}
		c.err = refuse(c.what+" reads or writes rows of "+name+", of which every shard has its own, on each of them by itself", c.hint)
	case c.target != nil && c.target.key != nil && t != nil && !r.place.Pinned && t.Schema != "pg_catalog" && t.Schema != "information_schema" && (st.is(before, "into") && (st.is(before-1, "insert") || st.is(before-1, "merge")) || st.is(before, "update") && !st.is(before-1, "for") && !st.is(before-1, "do") || st.is(before, "from") && st.is(before-1, "delete")):
		c.err = refuse(c.what+" writes omnisharded table "+name+", of which only one shard's copy would be written", c.hint)
	case t != nil && st.is(before, "into"):
		for _, col := range t.Columns {
			if col.Volatile && !col.Generated && c.differs == "" {
				c.differs = "the default of column " + col.Name + " of " + name
			}
		}
	}
}
