package route

import (
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
)

// temporary reads the name of what a CREATE makes for the session alone; ok is false if it makes
// nothing such.
func (st *statement) temporary() (name string, ok bool) {
	at := 1
	for ; at < len(st.toks); at++ {
		switch lex.Fold(st.toks[at].Text(st.sql)) {
		case "or", "replace", "unlogged", "recursive", "local", "global":
			continue
		case "temp", "temporary":
			ok = true
			continue
		}
		break
	}
	if !st.is(at, "table") && !st.is(at, "view") && !st.is(at, "sequence") {
		return "", false
	}
	if at++; st.is(at, "if") {
		at += 3
	}
	if at >= len(st.toks) {
		return "", false
	}
	if name = st.toks[at].Ident(st.sql); st.is(at+1, ".") && at+2 < len(st.toks) {
		name, ok = st.toks[at+2].Ident(st.sql), ok || strings.HasPrefix(name, "pg_temp")
	}
	return name, ok
}

// intoTemporary reports whether a SELECT INTO makes its table for the session alone.
func (st *statement) intoTemporary() bool {
	for i := range st.toks {
		if !st.is(i, "into") {
			continue
		}
		if st.is(i+1, "local") || st.is(i+1, "global") {
			i++
		}
		if st.is(i+1, "temp") || st.is(i+1, "temporary") {
			return true
		}
	}
	return false
}

// hides refuses what is made for one session with the name of something that is divided: statements
// that name it without a schema would mean what the session alone knows.
func (pb *builder) hides(name string) error {
	if pb.layout.Shards < 2 || pb.snap == nil {
		return nil
	}
	var same []*schema.Table
	pb.snap.All(func(t *schema.Table) bool {
		if t.Name == name && t.Schema != "pg_catalog" && t.Schema != "information_schema" {
			same = append(same, t)
		}
		return true
	})
	if slices.ContainsFunc(same, func(t *schema.Table) bool { return pb.placed(t.Schema, t.Name, t).sharded() }) {
		return refuse("a temporary relation "+name+", which would hide one that is divided", "give it another name")
	}
	return nil
}
