package route

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/wire"
)

// copy plans COPY.
func (pb *builder) copy(st *statement) (*Plan, error) {
	p := &Plan{Class: CopyOut, st: st}
	if st.is(1, "(") {
		end := lex.Match(st.sql, st.toks, 1)
		if end < 0 || !st.is(end+1, "to") {
			return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error in COPY"}
		}
		inner := &statement{sql: st.sql, toks: st.toks[:end]}
		p, err := pb.within(p, inner, 2)
		if err != nil {
			return nil, err
		}
		p.st = st
		// Whoever carries it out runs the query and writes its rows in COPY's format.
		plan := p.Inner
		p.multi = func() (*multi, error) {
			if _, err := plan.several(); err != nil {
				return nil, err
			}
			return &multi{spec: &gather.Spec{}, why: "the query is run on several shards, and its rows are copied"}, nil
		}
		return p, nil
	}
	at := 1
	schemaName, name := "", ""
	if at < len(st.toks) {
		name = st.toks[at].Ident(st.sql)
		at++
	}
	if st.is(at, ".") && at+1 < len(st.toks) {
		schemaName, name = name, st.toks[at+1].Ident(st.sql)
		at += 2
	}
	c := &Copy{Schema: schemaName, Table: name, Options: map[string]string{}}
	if pb.snap != nil {
		c.Version = pb.snap.Version
	}
	t := pb.snap.Table(schemaName, name, pb.path)
	if st.is(at, "(") {
		end := lex.Match(st.sql, st.toks, at)
		if end < 0 {
			return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error in COPY"}
		}
		for i := at + 1; i < end; i += 2 {
			c.Columns = append(c.Columns, st.toks[i].Ident(st.sql))
		}
		at = end + 1
	} else if t != nil {
		for _, col := range t.Columns {
			if !col.Generated {
				c.Columns = append(c.Columns, col.Name)
			}
		}
	}
	p.Copy = c
	in := st.is(at, "from")
	if !in && !st.is(at, "to") {
		return nil, &wire.Error{Code: wire.CodeSyntaxError, Message: "syntax error in COPY"}
	}
	at++
	stream := st.is(at, "stdin") || st.is(at, "stdout")
	c.read(st, at+1)
	for i, t := range st.toks { // another delimiter is another plan
		if t.Literal() {
			p.pins = append(p.pins, pin{i, strings.Clone(t.Text(st.sql))})
		}
	}
	if t != nil {
		c.Schema = t.Schema
	} else if c.Schema == "" && len(pb.path) > 0 {
		c.Schema = pb.path[0]
	}
	if t == nil {
		p.unknown = append(p.unknown, name)
	}
	r := pb.placed(c.Schema, name, t)
	place := r.place
	if in {
		p.fixed = pb.triggered(t, schema.TriggerInsert)
	}
	c.Key = r.key
	if c.Key != nil && !t.View() {
		c.Fit = fitOf(t, c.Key.Columns)
	}
	switch {
	case t != nil && t.Differs != "":
		p.fixed = differs(t)
	case t.View() && in && t.Triggers:
		p.fixed = refuse("COPY to view "+name+", whose INSTEAD OF triggers could do anything, on rows of any shard", "copy to its tables instead")
	case t.View() && in:
		// The server says so only once it has asked for the data (CopyFrom in copyfrom.c).
		p.fixed = wire.Errorf("42809", "cannot copy to view \"%s\"", name)
	case t.View() && t.Kind == 'v':
		c.Key, p.any = nil, true // the server refuses it
	case t.View() && r.blind:
		p.fixed = refusedView(r)
	case place.Key != nil && c.Key == nil:
		p.fixed = refuse("the sharding key of table "+name+" is configured with another type than its column has", "correct the configuration")
	case !stream:
		p.fixed = refuse("COPY with a file or program of one server", "use COPY FROM STDIN or TO STDOUT")
	case place.Pinned:
		p.refs, p.real = []*ref{{name: name, place: place}}, 1
	case in && c.Key != nil:
		for _, k := range c.Key.Columns {
			at := -1
			for i, col := range c.Columns {
				if col == k {
					at = i
				}
			}
			c.KeyAt = append(c.KeyAt, at)
			switch {
			case c.Columns == nil:
				p.fixed = refuse("the columns of table "+name+" are not known, so that the sharding key cannot be found", "name the columns in the COPY")
			case at < 0:
				p.fixed = refuse("a COPY without the sharding key "+k+" has no shard", "add the column "+k)
			}
		}
		p.every = true
	case in, c.Key != nil:
		p.every, p.omni = true, in
	default:
		p.any = true
	}
	if in {
		p.Class, p.Write = CopyIn, true
	}
	return p, nil
}

// read reads COPY's options, in the form with parentheses and in the old one.
func (c *Copy) read(st *statement, at int) {
	if st.is(at, "with") {
		at++
	}
	value := func(i int) string {
		t := st.toks[i]
		if t.Kind == lex.String {
			v, _ := t.AppendValue(nil, st.sql)
			return string(v)
		}
		return t.Ident(st.sql)
	}
	if st.is(at, "(") {
		end := lex.Match(st.sql, st.toks, at)
		for _, r := range st.split(at+1, max(at+1, end), ",") {
			if r.Len() == 0 {
				continue
			}
			v := "true"
			if r.Len() == 2 {
				v = value(r.From + 1)
			} else if r.Len() > 2 {
				v = st.text(r.From+1, r.To)
			}
			c.Options[value(r.From)] = v
		}
		return
	}
	for ; at < len(st.toks); at++ {
		switch w := lex.Fold(st.toks[at].Text(st.sql)); w {
		case "binary", "csv":
			c.Options["format"] = w
		case "header", "freeze":
			c.Options[w] = "true"
		case "delimiter", "null", "quote", "escape", "encoding":
			if st.is(at+1, "as") {
				at++
			}
			if at+1 < len(st.toks) {
				at++
				c.Options[w] = value(at)
			}
		}
	}
}
