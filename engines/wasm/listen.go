package wasm

import (
	"encoding/binary"
	"slices"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guest"
)

// listeners lets several clients LISTEN on the one backend. While a client has the
// backend, PostgreSQL sees that client's channels only. When it is between transactions,
// and before it says so, the backend listens to everybody's channels from where it last
// had read all notifications; what it reports is handed to each client that listens. Until
// then PostgreSQL must not throw away what nobody seems to wait for: a listener that stands
// at that place, and is nobody, sees to it.
type listeners struct {
	sets   map[*client][]string
	place  guest.Listener // last known entry in shared memory
	page   uint64         // where all notifications had been read
	offset uint32
	lent   uint32 // the list of all channels, while the guest has it
	own    uint32
}

// enter is called when c's list of channels has been put in place.
func (l *listeners) enter(b *backend, c *client) {
	if !l.place.Known {
		return
	}
	l.page, l.offset = b.in.NotifyHead()
	l.put(b, c, c.session.pointers[4] != 0)
}

// leave is called when c's list has been put away.
func (l *listeners) leave(b *backend, _ *client) {
	if l.place.Known {
		l.page, l.offset = b.in.NotifyHead() // what is before it was told when c was last ready
		l.put(b, nil, false)
	}
}

// put sets the backend's place in shared memory, where everything has been read, and keeps
// what comes from then on for clients other than c.
func (l *listeners) put(b *backend, c *client, listening bool) {
	p := l.place
	p.Listening, p.Page, p.Offset = listening, l.page, l.offset
	others := len(l.sets)
	if l.sets[c] != nil {
		others--
	}
	b.in.SetListener(p, others > 0)
}

// before is called when the guest is about to say that it is ready.
func (l *listeners) before(b *backend, c *client) error {
	if b.in.Load(b.sym.ListenChannels) == 0 && len(l.sets) == 0 {
		return nil
	}
	return b.protect(func() error {
		if b.in.Call("IsTransactionBlock") != 0 || c.status != 'I' && b.in.Call("IsAbortedTransactionBlockState") != 0 {
			return nil
		}
		if own := b.in.Strings(b.sym.ListenChannels); len(own) > 0 {
			l.sets[c] = own
		} else {
			delete(l.sets, c)
		}
		l.place = b.in.Listener(l.place)
		if len(l.sets) == 0 || len(l.sets) == 1 && l.sets[c] != nil || !l.place.Known {
			return nil // PostgreSQL does it all
		}
		var all []string
		for _, set := range l.sets {
			all = append(all, set...)
		}
		slices.Sort(all)
		l.own = b.in.Load(b.sym.ListenChannels)
		const tList = 1 // T_List; only its length and elements are looked at
		l.lent = b.in.MakeStrings(tList, slices.Compact(all))
		b.in.Store(b.sym.ListenChannels, l.lent)
		l.put(b, c, true)
		if page, offset := b.in.NotifyHead(); page != l.page || offset != l.offset {
			b.in.Store(b.sym.NotifyPending, 1)
		}
		return nil
	})
}

// after is called when it has said so.
func (l *listeners) after(b *backend, c *client) error {
	if l.lent == 0 {
		return nil
	}
	return b.protect(func() error {
		b.in.Store(b.sym.ListenChannels, l.own)
		b.in.FreeStrings(l.lent)
		l.lent = 0
		l.page, l.offset = b.in.NotifyHead()
		l.put(b, c, l.own != 0)
		return nil
	})
}

// deliver hands a NotificationResponse to everybody who listens to its channel. It is
// told to be from the client whose turn it is.
func (l *listeners) deliver(b *backend, msg []byte) {
	if c := b.current; c != nil {
		binary.BigEndian.PutUint32(msg[headerLen:], c.id)
	}
	channel := msg[headerLen+4:]
	for i, ch := range channel {
		if ch == 0 {
			channel = channel[:i]
			break
		}
	}
	target := b.out.target
	if target != nil && (l.lent == 0 || slices.Contains(l.sets[target], string(channel))) {
		b.out.pass(msg)
	}
	if l.lent == 0 {
		return
	}
	for c, set := range l.sets {
		if c != target && slices.Contains(set, string(channel)) {
			if !c.stream.offer(msg) {
				// It does not read; a lost notification would be worse than a lost connection.
				c.end(nil)
				c.hangUp()
			}
		}
	}
}

// drop forgets a client.
func (l *listeners) drop(_ *backend, c *client) { delete(l.sets, c) }
