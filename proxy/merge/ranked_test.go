package merge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A portal is rows that come by the page.
type portal struct {
	t       testing.TB
	rows    [][]byte
	asked   int
	fail    error
	stopped bool
}

func (p *portal) Ask(n int) error {
	if p.asked != 0 || n < 1 {
		p.t.Errorf("asked for %d rows while %d are asked for", n, p.asked)
	}
	p.asked = n
	return nil
}

func (p *portal) Take(_ context.Context, row func([]byte) error) (bool, error) {
	if p.asked == 0 {
		p.t.Error("took what was not asked for")
	}
	n := min(p.asked, len(p.rows))
	for _, r := range p.rows[:n] {
		if err := row(slices.Clone(r)); err != nil {
			return false, err
		}
	}
	more := n == p.asked
	p.rows, p.asked = p.rows[n:], 0
	if !more && p.fail != nil {
		return false, p.fail
	}
	return more, nil
}

func (p *portal) Stop(error) { p.stopped = true }

// A sorter ranks as it is told, and counts.
type sorter struct {
	compare func(a, b [][]byte) int
	keys    [][][]byte
	asked   int // rows, in all
	sorted  int // rows that came in their order already
	fail    func(order []int32) ([]int32, error)
}

func (s *sorter) Ask(keys [][][]byte) error {
	s.keys = keys
	s.asked += len(keys[0])
	return nil
}

func (s *sorter) Order(context.Context) ([]int32, error) {
	rows := make([][][]byte, len(s.keys[0]))
	order := make([]int32, len(rows))
	for i := range rows {
		order[i] = int32(i)
		for _, k := range s.keys {
			rows[i] = append(rows[i], k[i])
		}
		if i > 0 && s.compare(rows[i-1], rows[i]) <= 0 {
			s.sorted++
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int { return s.compare(rows[a], rows[b]) })
	if s.fail != nil {
		return s.fail(order)
	}
	return order, nil
}

// TestRanked merges by the orders of a server that sorts as is guessed, and by others.
func TestRanked(t *testing.T) {
	spec := gather.Spec{Kind: gather.Ordered, Order: []gather.Key{{Column: 0, Collation: gather.Collation{Known: true, Name: "x"}}, {Column: 1}}}
	text := wire.Field{Name: "t", TypeOID: 25, TypeMod: -1}
	natural := func(a, b []byte) int { return sortkey.Likely(a, b) }
	backwards := func(a, b []byte) int { return -natural(a, b) }
	byNumber := func(a, b []byte) int { // as with kn-true
		x, _ := strconv.Atoi(string(bytes.TrimLeft(a, "abc")))
		y, _ := strconv.Atoi(string(bytes.TrimLeft(b, "abc")))
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		return x - y
	}
	spread := func(n int) int { return rand.IntN(n) }
	for _, tt := range []struct {
		name    string
		compare func(a, b []byte) int
		nulls   bool
		field   wire.Field
		stream  func(n int) int
		most    float64 // asked rows for each row; 0: whatever
		sorted  float64 // of the rows asked about, at least
	}{
		{"as guessed", natural, false, text, spread, 1.2, 0.99},
		{"NULLs", natural, true, text, spread, 1.2, 0.99},
		{"one stream after the other", natural, false, text, nil, 1.2, 0.99},
		{"one stream with nearly all rows", natural, false, text, func(n int) int { return max(0, rand.IntN(n*500)-500*n+n) }, 1.2, 0.99},
		{"backwards", backwards, false, text, spread, 3.5, 0},
		{"backwards, one after the other", backwards, false, text, nil, 4.5, 0},
		{"numbers", byNumber, false, text, spread, 3, 0},
		{"no guess", natural, false, wire.Field{Name: "j", TypeOID: 3802, TypeMod: -1}, spread, 1.3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n, streams = 60_000, 3
			compare := func(a, b [][]byte) int {
				switch {
				case a[0] == nil && b[0] == nil:
				case a[0] == nil:
					return 1
				case b[0] == nil:
					return -1
				default:
					if c := tt.compare(a[0], b[0]); c != 0 {
						return c
					}
				}
				return bytes.Compare(a[1], b[1])
			}
			p, err := merge.CompileRanked(&spec, []wire.Field{tt.field, int4("n")}, sortkey.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			var all [][][]byte
			for i := range n {
				v := fmt.Appendf(nil, "%c%d", "abc"[rand.IntN(3)], rand.IntN(20_000))
				if tt.nulls && i%10 == 0 {
					v = nil
				}
				all = append(all, [][]byte{v, strconv.AppendInt(nil, int64(i+100_000), 10)})
			}
			slices.SortFunc(all, compare)
			var portals []merge.Paged
			for range streams {
				portals = append(portals, &portal{t: t})
			}
			for i, r := range all {
				s := i * streams / n
				if tt.stream != nil {
					s = tt.stream(streams)
				}
				x := portals[s].(*portal)
				x.rows = append(x.rows, body(r...))
			}
			s := &sorter{compare: compare}
			rows, err := drain(t.Context(), p.RunRanked(portals, s, merge.All(), 4<<20))
			if err != nil || len(rows) != n {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			for i, r := range rows {
				if want := body(all[i]...); !bytes.Equal(r, want) {
					t.Fatalf("row %d is %q, want %q", i, r, want)
				}
			}
			if per := float64(s.asked) / n; tt.most > 0 && per > tt.most {
				t.Errorf("asked about %.2f rows for each, want %.2f at most", per, tt.most)
			}
			if part := float64(s.sorted) / float64(s.asked+1); part < tt.sorted {
				t.Errorf("%.3f of the rows were sorted already, want %.3f", part, tt.sorted)
			}
			for i, x := range portals {
				if !x.(*portal).stopped {
					t.Errorf("stream %d is not stopped", i)
				}
			}
		})
	}
}

// TestRankedErrors passes on the rows that are settled before an error.
func TestRankedErrors(t *testing.T) {
	spec := gather.Spec{Kind: gather.Ordered, Order: []gather.Key{{Column: 0, Collation: gather.Collation{Known: true, Name: "x"}}}}
	fields := []wire.Field{{Name: "t", TypeOID: 25, TypeMod: -1}}
	p, err := merge.CompileRanked(&spec, fields, sortkey.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	fill := func(n, step int, pad string) *portal {
		x := &portal{t: t}
		for i := range n {
			x.rows = append(x.rows, body(fmt.Appendf(nil, "%06d%s", i*step, pad)))
		}
		return x
	}
	for _, tt := range []struct {
		name    string
		streams []*portal
		memory  int
		fail    func([]int32) ([]int32, error)
		stream  error
		rows    int // at least
		want    string
	}{
		{"a stream", []*portal{fill(5000, 1, ""), fill(10_000, 1, "")}, 0, nil, gone, 2000, "gone"},
		{"the server", []*portal{fill(5000, 1, ""), fill(5000, 1, "")}, 0, func([]int32) ([]int32, error) { return nil, gone }, nil, 0, "gone"},
		{"too few", []*portal{fill(50, 1, ""), fill(50, 1, "")}, 0, func(o []int32) ([]int32, error) { return o[1:], nil }, nil, 0, "order of 100 rows has 99"},
		{"twice", []*portal{fill(50, 1, ""), fill(50, 1, "")}, 0, func(o []int32) ([]int32, error) { o[1] = o[0]; return o, nil }, nil, 0, "twice"},
		{"out of range", []*portal{fill(50, 1, ""), fill(50, 1, "")}, 0, func(o []int32) ([]int32, error) { o[1] = 100; return o, nil }, nil, 0, "out of range"},
		{"not sorted", []*portal{fill(50, -1, ""), fill(50, 1, "")}, 0, nil, nil, 0, "do not come in the order"},
		{"too large", []*portal{fill(50, 1, strings.Repeat("x", 10_000)), fill(50, 1, "")}, 100_000, nil, nil, 0, "more than 100000 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var streams []merge.Paged
			for _, x := range tt.streams {
				streams = append(streams, x)
			}
			tt.streams[0].fail = tt.stream
			s := &sorter{compare: func(a, b [][]byte) int { return bytes.Compare(a[0], b[0]) }, fail: tt.fail}
			rows, err := drain(t.Context(), p.RunRanked(streams, s, merge.All(), tt.memory))
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(rows) < tt.rows {
				t.Errorf("%d rows, %v; want %d rows and %s", len(rows), err, tt.rows, tt.want)
			}
			for i, x := range tt.streams {
				if !x.stopped {
					t.Errorf("stream %d is not stopped", i)
				}
			}
		})
	}
}

// TestLikely guesses what ICU's root collation says of the words of many languages.
func TestLikely(t *testing.T) {
	b := start(t)
	sql := `SELECT w FROM (SELECT chr(c) FROM generate_series(32, 126) c UNION ALL SELECT chr(c) || chr(d) FROM generate_series(32, 126) c, generate_series(32, 126, 7) d
		UNION ALL SELECT * FROM unnest(ARRAY['Ähre', 'ahre', 'Zoë', 'zoo', 'Zoe', 'cote', 'coté', 'côte', 'côté', 'Ångström', 'angst', 'Я', 'а', 'б', 'Б', 'ж',
		'α', 'β', 'Ω', 'ω', '中', '文', 'user 1 of', 'User 1 of', 'user 10 of', 'résumé', 'resume', 'Résumé', 'résumés', 'naïve', 'naive'])) AS x(w) ORDER BY w COLLATE "und-x-icu"`
	r := b.conn.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) < 1000 {
		t.Fatal(len(r.Rows), r.Err)
	}
	for i := range r.Rows[1:] {
		if x, y := r.Rows[i][0], r.Rows[i+1][0]; sortkey.Likely(x, y) > 0 {
			t.Errorf("%q is before %q, other than guessed", x, y)
		}
	}
}

// FuzzLikely guesses the same both ways.
func FuzzLikely(f *testing.F) {
	f.Add([]byte("côte"), []byte("Coté"))
	f.Add([]byte("\xff\x80"), []byte("a\u0301"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if x, y := sortkey.Likely(a, b), sortkey.Likely(b, a); x != -y || (x == 0) != bytes.Equal(a, b) {
			t.Errorf("%q and %q: %d and %d", a, b, x, y)
		}
	})
}

// TestConnectionsEnd is no end of rows: an error that wraps io.EOF is one.
func TestConnectionsEnd(t *testing.T) {
	p := compile(t, gather.Spec{Kind: gather.Ordered, Order: byFirst}, int4("c"))
	broken := text("1", "3")
	broken.failure = fmt.Errorf("the connection was lost: %w", io.EOF)
	rows, err := drain(t.Context(), p.Run([]merge.Stream{text("0", "2", "4"), broken}, merge.All(), 0))
	if err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}
