package route

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// utility plans everything that is no query, from its tokens.
func (pb *builder) utility(sql string, toks []lex.Token, first string) (*Plan, error) {
	st := &statement{sql: sql, toks: toks}
	p := &Plan{st: st, Write: true, every: true}
	word := func(i int) string {
		if i < len(toks) && (toks[i].Kind == lex.Word || toks[i].Kind == lex.Quoted) {
			return toks[i].Ident(sql)
		}
		return ""
	}
	switch first {
	case "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release":
		p.Class, p.why = Transaction, "a transaction is the session's"
		p.Write = !st.has("read", "only") || st.has("serializable") // which a server in recovery refuses
	case "set", "reset":
		p.Class, p.Word, p.Write = Set, word(1), false
		if p.Word == "local" || p.Word == "session" {
			p.Word = word(2)
		}
		if st.is(2, ".") {
			p.Word += "." + word(3)
		} else if st.is(3, ".") {
			p.Word += "." + word(4)
		}
		p.why = "a setting is the session's"
		if st.is(1, "transaction") || st.is(1, "session") && st.is(2, "characteristics") {
			p.Class = Transaction
		}
	case "show":
		p.Class, p.Word, p.Write, p.every, p.any = Show, word(1), false, false, true
	case "explain":
		return pb.explain(st)
	case "prepare":
		if st.is(1, "transaction") {
			p.Class, p.why = Transaction, "a transaction is the session's"
			return p, nil
		}
		return pb.prepare(st)
	case "execute":
		p.Class, p.Word, p.why = Execute, word(1), "where it goes depends on the prepared statement"
		p.Write = false
	case "deallocate":
		p.Class, p.Word, p.Write = Deallocate, word(1), false
		if p.Word == "prepare" {
			p.Word = word(2)
		}
	case "discard":
		p.Class, p.Word, p.Write = Deallocate, word(1), false
	case "declare":
		return pb.declare(st)
	case "fetch", "move", "close":
		p.Class, p.Word, p.Write = Cursor, word(len(toks)-1), false
		p.why = "a cursor is where it was declared"
	case "listen", "unlisten", "notify":
		return pb.channel(st, first)
	case "copy":
		return pb.copy(st)
	case "call":
		name := word(1)
		if st.is(2, ".") {
			name = word(3)
		}
		p.Class = Utility
		if !listed(append([]string{"\x00"}, pb.layout.LocalFunctions...), name) && pb.layout.Shards > 1 {
			p.fixed = refuse("procedure "+name+" may read and write tables, of which it would see one shard only",
				"list it under local_functions to run it on every shard, or name the shard by a comment")
		}
	case "create", "alter", "drop", "truncate", "comment", "grant", "revoke", "reindex", "cluster", "refresh", "security",
		"import", "reassign", "do", "vacuum", "analyze", "lock", "checkpoint", "load":
		return pb.ddl(st, first)
	default:
		if _, err := tryParse(sql[toks[0].Start:toks[len(toks)-1].End]); err != nil {
			return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: strings.TrimSpace(err.Error())}
		}
		p.Class = Utility
	}
	return p, nil
}

// has reports whether the words stand in the statement, one after the other.
func (st *statement) has(words ...string) bool {
	for i := range st.toks {
		found := true
		for j, w := range words {
			found = found && st.is(i+j, w)
		}
		if found {
			return true
		}
	}
	return false
}

// within plans the statement that starts at a token, with the tokens of the whole before it.
func (pb *builder) within(p *Plan, st *statement, from int) (*Plan, error) {
	if from <= 0 || from >= len(st.toks) {
		return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error at end of input"}
	}
	inner, err := pb.plan(st.sql, st.toks[from:])
	if err != nil {
		return nil, err
	}
	p.Inner, p.Write, p.every = inner, inner.Write, false
	p.refs, p.real, p.any, p.omni, p.fixed, p.insert, p.first = inner.refs, inner.real, inner.any, inner.omni, inner.fixed, inner.insert, inner.first
	for _, x := range inner.pins {
		p.pins = append(p.pins, pin{x.tok + from, x.text})
	}
	p.base = from
	return p, nil
}

// explain plans EXPLAIN. Several shards explain their own part.
func (pb *builder) explain(st *statement) (*Plan, error) {
	p := &Plan{Class: Explain, st: st}
	at := 1
	run := false
	switch {
	case st.is(1, "("):
		end := lex.Match(st.sql, st.toks, 1)
		if end < 0 {
			return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error: a parenthesis is not closed"}
		}
		for i := 2; i < end; i++ {
			if (st.is(i-1, "(") || st.is(i-1, ",")) && st.is(i, "route") {
				p.RouteOnly = true
			}
			run = run || st.is(i, "analyze")
		}
		at = end + 1
	default:
		for st.is(at, "analyze") || st.is(at, "verbose") {
			run = run || st.is(at, "analyze")
			at++
		}
	}
	p, err := pb.within(p, st, at)
	if err != nil {
		return nil, err
	}
	if !run {
		p.Write = false
	}
	inner := p.Inner
	if inner.makes && pb.layout.Shards > 1 && p.fixed == nil {
		p.fixed = refuse("EXPLAIN of a statement that makes a table of rows of several shards", "EXPLAIN its query")
	}
	p.insert = nil
	p.staged = inner.staged
	p.multi = func() (*multi, error) {
		if inner.insert == nil {
			if _, err := inner.several(); err != nil {
				return nil, err
			}
		}
		return &multi{spec: &gather.Spec{}, why: "each shard explains what it is sent"}, nil
	}
	return p, nil
}

// prepare plans PREPARE name (types) AS statement.
func (pb *builder) prepare(st *statement) (*Plan, error) {
	p := &Plan{Class: Prepare, st: st}
	if len(st.toks) > 1 {
		p.Word = st.toks[1].Ident(st.sql)
	}
	at := 2
	if st.is(at, "(") {
		end := lex.Match(st.sql, st.toks, at)
		if end < 0 {
			return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error: a parenthesis is not closed"}
		}
		at = end + 1
	}
	if !st.is(at, "as") {
		return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error: PREPARE without AS"}
	}
	p, err := pb.within(p, st, at+1)
	if err != nil {
		return nil, err
	}
	// The statement itself is routed when it is executed.
	p.refs, p.real, p.any, p.omni, p.insert, p.every = nil, 0, false, false, nil, true
	p.why = "where it goes depends on the parameters of EXECUTE"
	return p, nil
}

// declare plans DECLARE name … CURSOR … FOR query.
func (pb *builder) declare(st *statement) (*Plan, error) {
	p := &Plan{Class: Cursor, st: st}
	if len(st.toks) > 1 {
		p.Word = st.toks[1].Ident(st.sql)
	}
	for i := range st.toks {
		if st.is(i, "for") {
			p, err := pb.within(p, st, i+1)
			if err != nil {
				return nil, err
			}
			// Whoever carries it out runs the query and keeps its rows.
			inner := p.Inner
			p.multi = func() (*multi, error) {
				if _, err := inner.several(); err != nil {
					return nil, err
				}
				return &multi{spec: &gather.Spec{}, why: "the query is run on several shards, and its rows are kept for FETCH"}, nil
			}
			return p, nil
		}
	}
	return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error: DECLARE without FOR"}
}

// channel places LISTEN and NOTIFY: on the shard that the channel's name hashes to, so that
// both meet.
func (pb *builder) channel(st *statement, first string) (*Plan, error) {
	p := &Plan{Class: Listen, st: st, Write: true}
	if first == "notify" {
		p.Class = Notify
	}
	if len(st.toks) < 2 || st.is(1, "*") {
		p.every = true
		return p, nil
	}
	p.Word = st.toks[1].Ident(st.sql)
	p.channel = p.Word
	p.why = "a channel is on the shard that its name hashes to"
	return p, nil
}

func (pb *builder) channelShard(name string) int {
	h := hash.Row(0, hash.Bytes([]byte(name), hash.Seed))
	return int(h % uint64(pb.layout.Shards))
}

// ddl plans what is done on every shard, or on that of the schema it names.
func (pb *builder) ddl(st *statement, first string) (*Plan, error) {
	p := &Plan{Class: DDL, st: st, Write: true, every: true, omni: true, ReloadSchema: true, why: "all shards have the same schema"}
	switch first {
	case "vacuum", "analyze", "lock", "checkpoint", "load", "do", "truncate", "cluster", "reindex":
		p.Class, p.ReloadSchema = Utility, first == "do"
		p.why = "it concerns every shard"
		if first == "truncate" {
			pb.emptied(st, p)
		}
		if first == "do" {
			p.fixed = pb.doBlock(st)
			for i, t := range st.toks { // another body is another plan
				if t.Kind == lex.String {
					p.pins = append(p.pins, pin{i, strings.Clone(t.Text(st.sql))})
				}
			}
		}
	case "create", "refresh":
		if err := pb.createAs(st, p); err != nil {
			return nil, err
		}
		if name, ok := st.temporary(); ok && p.fixed == nil {
			p.fixed = pb.hides(name)
		}
	case "alter":
		pb.renamed(st, p)
	}
	for i := range st.toks {
		if !st.is(i+1, ".") || st.toks[i].Kind != lex.Word && st.toks[i].Kind != lex.Quoted {
			continue
		}
		if shard, pinned := pb.layout.Schema(st.toks[i].Ident(st.sql)); pinned {
			p.every, p.omni = false, false
			r := &ref{name: st.toks[i].Ident(st.sql), slot: len(p.refs)}
			r.place.Pinned, r.place.Shard = true, shard
			p.refs = append(p.refs, r)
			p.why = "the schema is on one shard"
		}
	}
	if p.real = len(p.refs); p.real > 0 {
		p.multi = func() (*multi, error) {
			return nil, refuse("a statement that names schemas of different shards", "do it schema by schema")
		}
	}
	return p, nil
}

// Arguments reads the values that EXECUTE gives, as text; ok is false if one of them is no
// literal.
func (p *Plan) Arguments(sql string) (values [][]byte, ok bool) {
	var s lex.Scanner
	if p.Class != Execute || s.Scan(sql) != nil {
		return nil, false
	}
	st := &statement{sql: sql, toks: s.Tokens}
	if len(st.toks) > 0 && st.is(len(st.toks)-1, ";") {
		st.toks = st.toks[:len(st.toks)-1]
	}
	if !st.is(2, "(") {
		return [][]byte{}, len(st.toks) == 2
	}
	end := lex.Match(sql, st.toks, 2)
	if end < 0 {
		return nil, false
	}
	for _, r := range st.split(3, end, ",") {
		neg := r.Len() == 2 && st.is(r.From, "-") && st.toks[r.From+1].Kind == lex.Number
		if neg {
			r.From++
		}
		switch {
		case r.Len() != 1:
			return nil, false
		case st.is(r.From, "null"):
			values = append(values, nil)
		case st.toks[r.From].Literal():
			v := []byte{}
			if neg {
				v = append(v, '-')
			}
			v, ok := st.toks[r.From].AppendValue(v, sql)
			if !ok {
				return nil, false
			}
			values = append(values, v)
		default:
			return nil, false
		}
	}
	return values, true
}
