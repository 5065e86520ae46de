package scatter

import (
	"context"
	"fmt"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// pagedPortal is the portal of a paged merge. What asks for an order is the unnamed statement,
// which no error leaves behind.
const pagedPortal = "__pgx_rows"

// A pagedBranch is a branch whose rows come by the page from a portal that stays open, so
// that its connection can be asked other things between the pages. It is a merge.Paged.
type pagedBranch struct {
	*branch
	done bool // the portal has no more rows
	keep bool // the connection is still needed then
	rank bool // an order of rows is on its way
}

// openPaged binds what was described, without asking for rows.
func (b *pagedBranch) open(q *request, results []wire.Format) error {
	formats, values, err := b.resumed(q, results)
	if err != nil {
		return err
	}
	return b.l.put(&wire.Bind{Portal: pagedPortal, ParamFormats: formats, Params: values, ResultFormats: results})
}

// Ask implements merge.Paged.
func (b *pagedBranch) Ask(rows int) error {
	if err := b.l.putAll(&wire.Execute{Portal: pagedPortal, MaxRows: uint32(rows)}, &wire.Flush{}); err != nil {
		return err
	}
	b.asked = true
	return b.l.push()
}

// Take implements merge.Paged.
func (b *pagedBranch) Take(_ context.Context, row func([]byte) error) (more bool, err error) {
	for {
		typ, body, err := b.l.next()
		if err != nil {
			b.ended = true
			return false, err
		}
		switch typ {
		case wire.TypeDataRow:
			if body, err = b.row(body); err == nil {
				err = row(body)
			}
			if err != nil {
				return false, err
			}
		case wire.TypePortalSuspended:
			b.asked = false
			return true, nil
		case wire.TypeErrorResponse:
			return false, b.failed(body, true)
		case wire.TypeCommandComplete:
			b.tag, b.tagged, b.asked, b.done = tagOf(body), true, false, true
			if b.keep {
				return false, nil
			}
			return false, b.close()
		}
	}
}

// close ends the portal, and brings the connection to rest.
func (b *pagedBranch) close() error {
	if b.ended {
		return nil
	}
	b.ended = true
	if err := b.l.putAll(&wire.Close{Kind: wire.PortalKind, Name: pagedPortal}, &wire.Sync{}); err != nil {
		return err
	}
	if err := b.l.push(); err != nil {
		return err
	}
	_, err := b.l.drain()
	return err
}

// Stop implements merge.Paged.
func (b *pagedBranch) Stop(cause error) {
	if b.ended {
		return
	}
	if !b.asked && !b.rank {
		if err := b.close(); err != nil {
			b.l.s.ex.cfg.Log.Debug("close a portal", "shard", b.l.shard, "error", err)
		}
		return
	}
	// A page is on its way, or an order.
	b.ended = true
	if b.l.putAll(&wire.Close{Kind: wire.PortalKind, Name: pagedPortal}, &wire.Sync{}) != nil || b.l.push() != nil {
		b.l.dead = true
		return
	}
	b.l.abort(context.Background(), cause != nil)
}

// ranked is the answer of an Ordered or Unique merge whose order only a server knows: pages
// of rows are merged by asking it for the order of their keys. The branches are described,
// without a Sync.
func (s *Session) ranked(d *route.Decision, q *request, spec *gather.Spec, program *merge.Program, branches []*branch, results []wire.Format) (*answer, error) {
	paged := make([]*pagedBranch, len(branches))
	streams := make([]merge.Paged, len(branches))
	for i, b := range branches {
		paged[i] = &pagedBranch{branch: b, keep: i == 0}
		streams[i] = paged[i]
	}
	stop := func(cause error) {
		for _, p := range paged {
			p.Stop(cause)
		}
	}
	var err error
	for _, p := range paged {
		if err = p.open(q, results); err != nil {
			break
		}
		p.branch.asked = false
	}
	var rank merge.Ranker
	if err == nil {
		rank, err = s.ranker(program, paged[0])
	}
	if err != nil {
		stop(err)
		return nil, err
	}
	rows := program.RunRanked(streams, rank, window(d), s.ex.cfg.Memory)
	return &answer{
		fields: program.Fields(), rows: true, next: rows.Next,
		tag: func() (string, error) {
			for _, p := range paged {
				if err := p.close(); err != nil {
					stop(err)
					return "", err
				}
			}
			return merge.Tag(spec.Tag, []string{fmt.Sprintf("SELECT %d", rows.Count())}, rows.Count())
		},
		stop: func(cause error) {
			rows.Close(cause)
			stop(cause)
		},
	}, nil
}
