package scatter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An answer is what a statement on several shards returns.
type answer struct {
	fields []wire.Field // of the rows; nil if there are none
	rows   bool
	next   func(ctx context.Context) ([]byte, error) // io.EOF after the last
	tag    func() (string, error)                    // after the last row
	stop   func(cause error)                         // instead of reading on
}

// settled is an answer without rows.
func settled(tag string) *answer {
	return &answer{
		next: func(context.Context) ([]byte, error) { return nil, io.EOF },
		tag:  func() (string, error) { return tag, nil },
		stop: func(error) {},
	}
}

// branches makes the branches of a decision, with their connections.
func (s *Session) branches(ctx context.Context, d *route.Decision, q *request, shards []int) ([]*branch, error) {
	out := make([]*branch, 0, len(shards))
	for _, shard := range shards {
		l, err := s.acquire(ctx, shard, d.Role)
		if err != nil {
			return nil, err
		}
		sql, params, rewritten := textFor(d, q, shard)
		if !rewritten {
			params = nil
		} else if params == nil {
			params = []int{}
		}
		out = append(out, &branch{l: l, sql: sql, params: params, own: !rewritten})
	}
	return out, nil
}

// each calls do for every branch; after an error the others are brought to rest.
func each(branches []*branch, do func(b *branch) error) error {
	for _, b := range branches {
		if err := do(b); err != nil {
			err = b.l.missing(err, len(branches))
			for _, other := range branches {
				if other != b && !other.ended {
					other.Stop(err)
				}
			}
			b.ended = true
			if b.l.running && !b.l.dead {
				b.l.dead = true // an error of our own, in the middle of its answer
			}
			return err
		}
	}
	return nil
}

// missing adds to an error that something is not there on which shard that is: the others may
// have it.
func (l *link) missing(err error, of int) error {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || of < 2 || broken(err) || e.Detail != "" || e.Routine == "op_error" {
		return err // types that do not go together do so nowhere (op_error in parse_oper.c)
	}
	switch e.Code {
	case "42P01", "42703", "42883", "42704", "3F000": // undefined table, column, function, object; invalid schema
		c := *e
		c.Detail = fmt.Sprintf("This is what shard %d says; the shards' schemas may differ.", l.shard)
		return &c
	}
	return err
}

// gather runs a decision on several shards.
func (s *Session) gather(ctx context.Context, d *route.Decision, q *request) (*answer, error) {
	if d.Merge != nil && d.Merge.Kind == gather.Pull {
		return s.pull(ctx, d, q)
	}
	spec := d.Merge
	if spec == nil {
		spec = &gather.Spec{}
	}
	var types []uint32
	var err error
	rewritten := d.SQL != "" || len(d.Queries) > 0
	if q.extended && rewritten {
		if types, err = s.described(ctx, q); err != nil {
			return nil, err
		}
	}
	branches, err := s.branches(ctx, d, q, d.Targets())
	if err != nil {
		return nil, err
	}
	s.mark(d, branches)
	var same *echo
	if d.Plan.Class == route.DDL || d.Plan.Class == route.Utility {
		same = &echo{branches[0].l, map[string]bool{}}
	}
	for _, b := range branches {
		b.l.echo = same
	}
	if q.extended && (spec.Kind != gather.Concat || spec.Hidden > 0) || d.Plan.Pages(spec) {
		if !q.extended {
			plain := *q
			plain.extended = true
			q = &plain
		}
		return s.gatherDescribed(ctx, d, q, spec, types, branches)
	}
	if err := each(branches, func(b *branch) error { return b.start(q, types, q.results) }); err != nil {
		return nil, err
	}
	if err := each(branches, (*branch).header); err != nil {
		return nil, err
	}
	if !branches[0].rows {
		return s.rowless(spec, branches)
	}
	fields, err := agree(branches)
	if err == nil {
		var program *merge.Program
		program, err = merge.Compile(spec, fields, s.sorting())
		switch {
		case err == nil:
			return s.merged(d, spec, program, branches), nil
		case errors.Is(err, merge.ErrNeedsServer):
			return s.finishOwn(ctx, d, q, spec, branches, fields)
		}
	}
	stopAll(branches, err)
	return nil, err
}

// gatherDescribed asks for the rows' types first, because the formats depend on how they
// are merged.
func (s *Session) gatherDescribed(ctx context.Context, d *route.Decision, q *request, spec *gather.Spec, types []uint32, branches []*branch) (*answer, error) {
	if err := each(branches, func(b *branch) error { return b.describe(q, types) }); err != nil {
		return nil, err
	}
	if err := each(branches, (*branch).described); err != nil {
		return nil, err
	}
	results := shardFormats(spec, q.results, len(branches[0].fields))
	setFormats := func() {
		for _, b := range branches {
			for i := range b.fields {
				b.fields[i].Format = wire.FormatAt(results, i)
			}
		}
	}
	setFormats()
	fields, err := agree(branches)
	var program *merge.Program
	if err == nil {
		if results == nil && len(q.results) > 0 {
			err = merge.ErrNeedsServer
		} else {
			program, err = merge.Compile(spec, fields, s.sorting())
		}
	}
	server := errors.Is(err, merge.ErrNeedsServer)
	if err != nil && !server {
		stopAll(branches, err)
		return nil, err
	}
	if server && (results != nil || len(q.results) == 0) {
		ranked, err := merge.CompileRanked(spec, fields, s.sorting())
		switch {
		case err == nil:
			return s.ranked(d, q, spec, ranked, branches, results)
		case !errors.Is(err, merge.ErrNeedsServer):
			stopAll(branches, err)
			return nil, err
		}
	}
	d.Plan.SetPages(server)
	if server {
		results = nil
		setFormats()
	}
	if err := each(branches, func(b *branch) error { return b.resume(q, results) }); err != nil {
		return nil, err
	}
	if server {
		fields, err := agree(branches)
		if err != nil {
			stopAll(branches, err)
			return nil, err
		}
		return s.finishOwn(ctx, d, q, spec, branches, fields)
	}
	return s.merged(d, spec, program, branches), nil
}

func stopAll(branches []*branch, err error) {
	for _, b := range branches {
		if !b.ended {
			b.Stop(err)
		}
	}
}

// shardFormats are the formats in which shards return n columns, for a client that asked for
// formats. It is nil, though the client asked for some, if no formats will do.
func shardFormats(spec *gather.Spec, client []wire.Format, n int) []wire.Format {
	same := true
	for _, f := range client {
		same = same && f == client[0]
	}
	if same {
		return client[:min(1, len(client))]
	}
	if spec.Local == nil {
		return append(append([]wire.Format{}, client...), make([]wire.Format, max(0, n-len(client)))...)
	}
	out := make([]wire.Format, n)
	set := make([]bool, n)
	for i, o := range spec.Local.Outputs {
		c := o.Column.Index(n)
		if c < 0 || i >= len(client) || set[c] && out[c] != client[i] {
			return nil
		}
		out[c], set[c] = client[i], true
	}
	return out
}

// mark takes down that a statement writes.
func (s *Session) mark(d *route.Decision, branches []*branch) {
	if !d.Plan.Write {
		return
	}
	for _, b := range branches {
		b.l.wrote = true
	}
}

func agree(branches []*branch) ([]wire.Field, error) {
	all := make([][]wire.Field, len(branches))
	for i, b := range branches {
		all[i] = b.fields
	}
	return merge.Agree(all...)
}

// rowless is the answer of shards that return none.
func (s *Session) rowless(spec *gather.Spec, branches []*branch) (*answer, error) {
	var tags []string
	for _, b := range branches {
		if b.rows || b.copies != 0 {
			err := wire.Errorf(wire.CodeInternalError, "shard %d answers otherwise than shard %d", b.l.shard, branches[0].l.shard)
			stopAll(branches, err)
			return nil, err
		}
		tags = append(tags, b.tag)
	}
	tag, err := merge.Tag(spec.Tag, tags, 0)
	if err != nil {
		return nil, err
	}
	return settled(tag), nil
}

// merged is the answer that package merge makes.
func (s *Session) merged(d *route.Decision, spec *gather.Spec, program *merge.Program, branches []*branch) *answer {
	streams := make([]merge.Stream, len(branches))
	for i, b := range branches {
		streams[i] = b
	}
	if spec.Tag == gather.TagSame {
		// All return the same rows: those of one are enough.
		streams = streams[:1]
	}
	rows := program.Run(streams, window(d), s.ex.cfg.Memory)
	return &answer{
		fields: program.Fields(), rows: true, next: rows.Next,
		tag: func() (string, error) {
			var tags []string
			for _, b := range branches {
				if !b.ended {
					if err := b.finish(); err != nil {
						stopAll(branches, err)
						return "", err
					}
				}
				tags = append(tags, b.tag)
			}
			return merge.Tag(spec.Tag, tags, rows.Count())
		},
		stop: func(cause error) {
			rows.Close(cause)
			stopAll(branches, cause)
		},
	}
}

func window(d *route.Decision) merge.Window {
	w := merge.All()
	w.Offset = uint64(max(0, d.Offset))
	if d.Limit >= 0 {
		w.Limit = uint64(d.Limit)
	}
	return w
}

// sorting is what text depends on.
func (s *Session) sorting() sortkey.Settings {
	return sortkey.Settings{DateStyle: s.reported["DateStyle"], IntervalStyle: s.reported["IntervalStyle"], LossyFloats: s.lossyFloats(), OtherEncoding: s.state.Encoding != route.UTF8}
}

// lossyFloats reports whether the session may have set extra_float_digits below 1.
func (s *Session) lossyFloats() bool {
	for _, x := range s.settings.List {
		if x.Name == "extra_float_digits" {
			digits := strings.TrimRight(x.SQL, " ;'")
			return digits == "" || digits[len(digits)-1] < '1' || digits[len(digits)-1] > '3' || strings.Contains(digits, "-")
		}
	}
	return false
}

// lossy returns an error if text of values may not stand for them exactly.
func (s *Session) lossy() error {
	set := s.sorting()
	if set.LossyFloats || set.DateStyle != "" && (len(set.DateStyle) < 3 || set.DateStyle[:3] != "ISO") ||
		set.IntervalStyle != "" && set.IntervalStyle != "postgres" && set.IntervalStyle != "iso_8601" {
		return refuse(fmt.Sprintf("rows that a server must combine cannot be handed over exactly with DateStyle %q, IntervalStyle %q or a changed extra_float_digits",
			set.DateStyle, set.IntervalStyle), "use RESET DateStyle, RESET IntervalStyle and RESET extra_float_digits for this query")
	}
	return nil
}
