package lease

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
)

// A Source makes what a pool lends. Its methods are called from several goroutines, but
// never two at once for one item.
type Source interface {
	// Create makes an item that is as new. An error that wraps [ErrHopeless] tells that
	// trying again will not help until something is changed; the pool tells those who
	// wait. After any other error the pool tries again.
	Create(ctx context.Context) (*Item, error)
	// Recycle takes an item back after its lease. It returns what is as new and may be
	// lent again, perhaps under another name, or nil if there is nothing; the item is gone
	// then, or, after an error, will be removed later.
	Recycle(ctx context.Context, it *Item, use Use) (*Item, error)
	// Destroy removes an item that was never lent, or is broken.
	Destroy(ctx context.Context, it *Item) error
	// Close lets go of the server behind the items, all of which have been destroyed or
	// kept. Create may be called again afterwards and starts anew.
	Close(ctx context.Context) error
}

// A Versioned source has items that go out of date. It is asked at every grant, so it has
// to answer in microseconds.
type Versioned interface {
	// Version is what an item must have to be lent.
	Version() string
}

// A Resetter is a source that can make an item as new while it is lent.
type Resetter interface {
	Reset(ctx context.Context, it *Item) error
}

// A Notifier is a source that tells when its items went out of date or its server was lost,
// so that the pool looks at once.
type Notifier interface {
	// Notify has f called at such times. f does not block.
	Notify(f func())
}

// A Checker is a source whose items can be lost one by one. It is asked at every grant, so
// it has to answer in microseconds.
type Checker interface {
	// Alive reports whether an item can still be lent.
	Alive(it *Item) bool
}

// A Keeper is a source that has something to do for an item that is kept after its lease.
type Keeper interface {
	Keep(ctx context.Context, it *Item, reason string) error
}

// A Describer is a source that can say what it is.
type Describer interface {
	// Describe says it in a few words, without secrets: "databases on cluster main".
	Describe() string
}

// ErrHopeless is wrapped by errors of Create that will come again.
var ErrHopeless = errors.New("cannot be made")

// Use says what a lease was like.
type Use struct {
	Clean bool // the holder says that nothing was changed
	Ended bool // by force, not by the holder: its sessions may be alive
}

// An Item is one thing that is lent. The source sets its fields; the pool changes none.
type Item struct {
	Name    string   // 1 to MaxName bytes
	Version string   // of a Versioned source
	URL     string   // "" for names only
	Env     []string // NAME=VALUE; what a client's environment needs
	// Dial opens a protocol 3 stream to the server that the item is on, and Config says
	// how to log in to it there; both are nil for names.
	Dial   func(ctx context.Context) (net.Conn, error)
	Config func() (*pgx.ConnConfig, error)
}

// Names is the source of pgmanager: prefix0, prefix1 and so on. It touches no server, and
// a name is as good after a lease as before.
type Names struct {
	prefix string

	mu   sync.Mutex
	next int
}

// NewNames returns a source of names that begin with prefix.
func NewNames(prefix string) *Names { return &Names{prefix: prefix} }

// Create returns the next name.
func (n *Names) Create(context.Context) (*Item, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := n.prefix + strconv.Itoa(n.next)
	if len(name) > MaxName {
		return nil, fmt.Errorf("the name %s has %d bytes, a database's may have %d: %w", name, len(name), MaxName, ErrHopeless)
	}
	n.next++
	return &Item{Name: name, Env: []string{"PGDATABASE=" + name}}, nil
}

// Recycle does nothing: cleaning is the holder's business.
func (n *Names) Recycle(_ context.Context, it *Item, _ Use) (*Item, error) { return it, nil }

// Destroy does nothing.
func (n *Names) Destroy(context.Context, *Item) error { return nil }

// Close does nothing.
func (n *Names) Close(context.Context) error { return nil }

// Describe says what the source is.
func (n *Names) Describe() string { return "names only, " + n.prefix + "N" }
