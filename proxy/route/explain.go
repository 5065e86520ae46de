package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// Explain says in a few lines what the decision is and why, for "proxy route" and EXPLAIN
// (ROUTE).
func (d *Decision) Explain() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	which := "shards " + d.Shards.String()
	switch {
	case d.Any:
		which = "any one of shards " + d.Shards.String()
	case d.Shards.Len() == 1:
		which = "shard " + d.Shards.String()
	}
	kind := d.Plan.Class.String()
	if d.Plan.Inner != nil {
		kind += " of " + d.Plan.Inner.Class.String()
	}
	line("%s: %s on a %s", kind, which, d.Role)
	if d.Why != "" {
		line("why: %s", d.Why)
	}
	if d.Open {
		line("to be decided when the parameters are known")
	}
	if d.SQL != "" {
		line("each shard: %s%s", d.SQL, params(d.Params))
	}
	if d.FeedSelect != "" {
		line("query: %s%s", d.FeedSelect, params(d.FeedParams))
		line("insert: %s… %s", d.FeedBefore, d.FeedAfter)
	}
	if l := d.Locking; l != nil {
		line("find: %s%s", strings.TrimSpace(l.Find), params(l.FindParams))
		line("lock: %s%s", strings.TrimSpace(showPieces(l.Lock, "s")), params(l.LockParams))
	}
	for i, s := range append(slices.Clip(d.Steps), d.Last) {
		if len(d.Steps) == 0 {
			break
		}
		what := fmt.Sprintf("step s%d", i)
		if i == len(d.Steps) {
			what = "then"
			if len(s.Pieces) == 0 {
				break
			}
		}
		if s.Step != nil && s.Step.Place != nil {
			what += " on the shards of the keys"
		}
		line("%s: %s%s", what, strings.TrimSpace(showPieces(s.Pieces, "s")), params(s.Params))
	}
	if p := d.Plan.Move; p != nil && d.SQL != "" {
		line("insert again: %s (%s)", p.Table, strings.Join(p.Columns, ", "))
	}
	if d.Replay {
		line("on the first shard only; the rows it returns are inserted on the others")
	}
	for _, q := range d.Queries {
		line("shard %s (rows: %d): %s%s", q.Shards, q.Rows, q.SQL, params(q.Params))
	}
	if m := d.Merge; m != nil && d.Shards.Len() > 1 && !d.Any {
		line("merge: %s", describeMerge(m))
	}
	if d.Offset > 0 {
		line("offset: %d", d.Offset)
	}
	if d.Limit >= 0 {
		line("limit: %d", d.Limit)
	}
	if d.Merge != nil && d.Merge.Finish != nil {
		for i, q := range d.Relations {
			if !d.Merge.Finish.Relations[i].Own {
				line("fetch r%d from %s: %s%s", i, q.Shards, q.SQL, params(q.Params))
			}
		}
		line("finish on shard %d: %s%s", d.FinishShard, strings.TrimSpace(showPieces(d.Finish, "r")), params(d.FinishParams))
	}
	return b.String()
}

// Merged says how the shards' rows become one answer.
func (d *Decision) Merged() string { return describeMerge(d.Merge) }

// Finished is the text of Finish, in which r0, r1 and so on stand for the relations.
func (d *Decision) Finished() string { return strings.TrimSpace(showPieces(d.Finish, "r")) }

// ExplainsAsText reports whether a statement is an EXPLAIN whose answer is lines of text.
func ExplainsAsText(sql string) bool {
	var s lex.Scanner
	if len(sql) > 1<<16 || s.Scan(sql) != nil || len(s.Tokens) < 2 || !s.Tokens[0].Is(sql, "explain") {
		return false
	}
	if !s.Tokens[1].Is(sql, "(") {
		return true
	}
	end := lex.Match(sql, s.Tokens, 1)
	for _, t := range s.Tokens[2:max(end, 2)] {
		if t.Is(sql, "json") || t.Is(sql, "xml") || t.Is(sql, "yaml") || t.Is(sql, "route") {
			return false
		}
	}
	return true
}

// Summary are the lines that expanded_explain adds to the output of EXPLAIN.
func (d *Decision) Summary() []string {
	shard := d.Shards.String()
	if d.Any {
		shard = "any of " + shard
	}
	return Summary(shard, d.Role, d.Why)
}

// Summary are these lines for a statement that went to a shard's server in some role.
func Summary(shard string, role Role, why string) []string {
	out := []string{"Routing:", fmt.Sprintf("  Summary: shard=%s role=%s", shard, role)}
	if why != "" {
		out = append(out, "  Reason: "+why)
	}
	return out
}

// showPieces writes what stands for relations, or steps, by a letter and their number.
func showPieces(pieces []gather.Piece, letter string) string {
	var sql strings.Builder
	for _, p := range pieces {
		switch p.Kind {
		case gather.Source:
			fmt.Fprintf(&sql, "<%s%d>", letter, p.Relation)
		case gather.Numbered:
			fmt.Fprintf(&sql, "<%s%d, numbered>", letter, p.Relation)
		case gather.Taken:
			fmt.Fprintf(&sql, "<%s%d, those of %s%d>", letter, p.Relation, letter, p.Column)
		case gather.Left:
			fmt.Fprintf(&sql, "<%s%d, but those of %s%d>", letter, p.Relation, letter, p.Column)
		case gather.Whole:
			fmt.Fprintf(&sql, "<row of %s%d>", letter, p.Relation)
		case gather.Placed:
			fmt.Fprintf(&sql, "<%s%d of the shard, with %s%d>", letter, p.Column, letter, p.Relation)
		case gather.Marked:
			fmt.Fprintf(&sql, "<%s%d, with those of %s%d marked>", letter, p.Relation, letter, p.Column)
		case gather.TypeOf:
			fmt.Fprintf(&sql, "<type of %s%d.%d>", letter, p.Relation, p.Column)
		case gather.Values:
			fmt.Fprintf(&sql, "<values of %s%d>", letter, p.Relation)
		case gather.Names:
			fmt.Fprintf(&sql, "(<names of %s%d>)", letter, p.Relation)
		case gather.Value:
			fmt.Fprintf(&sql, "<%s%d>", letter, p.Relation)
		default:
			sql.WriteString(p.Text)
		}
	}
	return sql.String()
}

func params(list []int) string {
	if len(list) == 0 {
		return ""
	}
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = fmt.Sprintf("$%d is the client's $%d", i+1, n)
	}
	return "  -- " + strings.Join(parts, ", ")
}

func describeMerge(m *gather.Spec) string {
	var b strings.Builder
	b.WriteString(m.Kind.String())
	if len(m.Order) > 0 {
		b.WriteString(" by")
		for i, k := range m.Order {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, " %d", k.Column)
			if k.Descending {
				b.WriteString(" desc")
			}
			if k.NullsFirst != k.Descending {
				b.WriteString(map[bool]string{true: " nulls first", false: " nulls last"}[k.NullsFirst])
			}
			if k.Collation.Name != "" {
				b.WriteString(" collate " + k.Collation.Name)
			}
		}
	}
	switch {
	case m.DistinctAll:
		b.WriteString(", distinct")
	case len(m.Distinct) > 0:
		fmt.Fprintf(&b, ", distinct on %v", m.Distinct)
	}
	if m.Hidden > 0 {
		fmt.Fprintf(&b, ", %d hidden", m.Hidden)
	}
	if m.WithTies {
		b.WriteString(", with ties")
	}
	if m.Local != nil {
		names := [...]string{"same", "sum", "count", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor", "avg"}
		fmt.Fprintf(&b, ", locally keys %v:", m.Local.Keys)
		for _, o := range m.Local.Outputs {
			fmt.Fprintf(&b, " %s=%s(%d)", o.Name, names[o.Combine], o.Column)
		}
	}
	if m.Tag == gather.TagSame {
		b.WriteString(", all do the same")
	}
	return b.String()
}
