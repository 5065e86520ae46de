package merge

import (
	"bytes"
	"context"
)

// A row is a DataRow's body and the key by which it is ordered, if it is.
type row struct {
	body, key []byte
}

// A source yields rows; the body is nil after the last. A row is valid until the next call.
type source interface {
	next(ctx context.Context) (row, error)
}

// concat yields a row of each stream whose turn it is, then one stream after the other.
type concat struct {
	*heads
	turns []int
	at    int
}

func (c *concat) next(ctx context.Context) (row, error) {
	for len(c.turns) > 0 {
		i := c.turns[0]
		c.turns = c.turns[1:]
		if i < 0 || i >= len(c.streams) {
			continue
		}
		if body, err := c.heads.next(ctx, i); body != nil || err != nil {
			return row{body: body}, err
		}
	}
	for ; c.at < len(c.streams); c.at++ {
		body, err := c.heads.next(ctx, c.at)
		if body != nil || err != nil {
			return row{body: body}, err
		}
	}
	return row{}, nil
}

// ordered merges sorted streams by a tournament tree of losers: log2(n) comparisons a row
// (Knuth, The Art of Computer Programming, vol. 3, 5.4.1). Equal rows come in the order of
// their streams.
type ordered struct {
	*heads
	by     *keyer
	rows   []row
	values [][]byte
	// tree[0] is the winner's stream, tree[1:] the losers of the inner nodes: the players
	// of node i are those of nodes 2i and 2i+1, leaves being n…2n-1.
	tree []int
	// before holds a copy of the last winner's key, to see whether streams are sorted.
	before  []byte
	started bool
}

func newOrdered(h *heads, by *keyer) *ordered {
	n := len(h.streams)
	return &ordered{heads: h, by: by, rows: make([]row, n), tree: make([]int, max(n, 1))}
}

// advance moves stream i to its next row.
func (o *ordered) advance(ctx context.Context, i int) error {
	body, err := o.heads.next(ctx, i)
	r := &o.rows[i]
	r.body = body
	if err != nil || body == nil {
		return err
	}
	if o.values, err = split(o.values, body, o.by.reach, o.by.count); err != nil {
		return err
	}
	r.key, err = o.by.append(r.key[:0], o.values)
	return err
}

// less reports whether stream a's row comes before stream b's. Ended streams come last.
func (o *ordered) less(a, b int) bool {
	switch ra, rb := &o.rows[a], &o.rows[b]; {
	case ra.body == nil || rb.body == nil:
		return rb.body == nil && (ra.body != nil || a < b)
	default:
		c := bytes.Compare(ra.key, rb.key)
		return c < 0 || c == 0 && a < b
	}
}

func (o *ordered) next(ctx context.Context) (row, error) {
	if len(o.streams) == 0 {
		return row{}, nil
	}
	if !o.started {
		o.started = true
		for i := range o.streams {
			if err := o.advance(ctx, i); err != nil {
				return row{}, err
			}
		}
		o.tree[0] = o.play(1)
	} else {
		winner := o.tree[0]
		o.before = append(o.before[:0], o.rows[winner].key...)
		if err := o.advance(ctx, winner); err != nil {
			return row{}, err
		}
		if r := &o.rows[winner]; r.body != nil && bytes.Compare(r.key, o.before) < 0 {
			return row{}, unsorted(winner)
		}
		o.replay(winner)
	}
	return o.rows[o.tree[0]], nil
}

// play fills the tree below node and returns the winner there.
func (o *ordered) play(node int) int {
	n := len(o.streams)
	if node >= n {
		return node - n
	}
	a, b := o.play(2*node), o.play(2*node+1)
	if o.less(b, a) {
		a, b = b, a
	}
	o.tree[node] = b
	return a
}

// replay lets the changed row of stream i play its way up again.
func (o *ordered) replay(i int) {
	for node := (len(o.streams) + i) / 2; node > 0; node /= 2 {
		if o.less(o.tree[node], i) {
			o.tree[node], i = i, o.tree[node]
		}
	}
	o.tree[0] = i
}
