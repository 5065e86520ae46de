package proxy

import (
	"slices"
)

// A delivery is what goes to the client of what the server has sent: ranges of it as they are,
// and messages that were changed.
type delivery struct {
	b        []byte // what the server has sent
	from, to int    // a range of it that goes on as it is
	parts    [][]byte
}

// pass forwards bytes as they are.
func (d *delivery) pass(from, to int) {
	if d.to != from {
		d.cut()
		d.from = from
	}
	d.to = to
}

func (d *delivery) cut() {
	if d.to > d.from {
		d.parts = append(d.parts, d.b[d.from:d.to])
	}
	d.from, d.to = 0, 0
}

// put forwards something else.
func (d *delivery) put(m []byte) {
	d.cut()
	d.parts = append(d.parts, m)
}

func (s *session) deliver(parts [][]byte) error {
	switch len(parts) {
	case 0:
		return nil
	case 1:
		return s.toClient(parts[0])
	}
	return s.toClient(slices.Concat(parts...))
}
