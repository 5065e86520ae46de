package merge

import "context"

// Sizes of pages, in rows and bytes.
const (
	firstPage = 64
	mostPage  = 4096
	leastPage = 8
	pageBytes = 512 << 10
)

// pages are a stream and those of its rows that are here and have not been passed on.
type pages struct {
	Paged
	program *Program
	rows    [][]byte
	keys    [][]byte // len(program.ranks) for each row
	bytes   int
	size    int // of the next page, in rows
	most    int // bytes of a page
	memory  int // of the merge
	asked   bool
	ended   bool

	values [][]byte
}

// ask asks for the next page.
func (p *pages) ask() error {
	if p.asked || p.ended {
		return nil
	}
	p.asked = true
	return p.Ask(p.size)
}

// cost is what a row takes of memory.
func (p *pages) cost(body []byte) int { return len(body) + 32 + 24*len(p.program.ranks) }

// take reads the page that has been asked for. left is the memory that it may take.
func (p *pages) take(ctx context.Context, left int) error {
	page, count := 0, 0
	block := make([]byte, 0, 16<<10)
	keys := make([]byte, 0, 4<<10)
	more, err := p.Take(ctx, func(body []byte) error {
		if page += p.cost(body); page > left {
			return (&budget{limit: p.memory}).take(1)
		}
		if len(body) > cap(block)-len(block) {
			block = make([]byte, 0, max(16<<10, len(body)))
		}
		at := len(block)
		block = append(block, body...)
		body = block[at:len(block):len(block)]
		var err error
		if p.values, err = split(p.values, body, p.program.width, p.program.width); err != nil {
			return err
		}
		for _, x := range p.program.ranks {
			if !x.Encoded {
				p.keys = append(p.keys, p.values[x.column])
				continue
			}
			// What is in the old array stays there, should this one be outgrown.
			at := len(keys)
			if keys, err = x.keyer.append(keys, p.values); err != nil {
				return err
			}
			p.keys = append(p.keys, keys[at:len(keys):len(keys)])
		}
		p.rows = append(p.rows, body)
		count++
		return nil
	})
	p.asked, p.ended = false, !more
	if err != nil {
		p.ended = true
		return err
	}
	p.bytes += page
	if count > 0 {
		p.size = min(max(leastPage, p.most/(page/count)), mostPage, 4*p.size)
	}
	return nil
}

// pass takes the first rows away.
func (p *pages) pass(n int) {
	for _, body := range p.rows[:n] {
		p.bytes -= p.cost(body)
	}
	p.rows, p.keys = p.rows[n:], p.keys[n*len(p.program.ranks):]
}

// key is the k-th key of a row.
func (p *pages) key(row, k int) []byte { return p.keys[row*len(p.program.ranks)+k] }
