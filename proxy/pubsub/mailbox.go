package pubsub

import (
	"fmt"
	"sync"

	"github.com/pgx-dev/pgx-dev/wire"
)

// DefaultSize is how many notifications a mailbox holds unless it is said.
const DefaultSize = 4096

// A Mailbox holds the notifications for one client until it takes them. It is safe for
// concurrent use.
type Mailbox struct {
	ready   chan struct{}
	size    int
	onReady func()

	mu    sync.Mutex
	queue []wire.NotificationResponse
	lost  int
	why   string // the connection was lost
}

// NewMailbox makes a mailbox for so many notifications; 0 is [DefaultSize].
func NewMailbox(size int) *Mailbox {
	if size <= 0 {
		size = DefaultSize
	}
	return &Mailbox{ready: make(chan struct{}, 1), size: size}
}

// Ready has something whenever there may be something to take.
func (m *Mailbox) Ready() <-chan struct{} { return m.ready }

// OnReady has f called whenever there may be something to take. It must be said before the first
// subscription. f must neither wait nor use the hub.
func (m *Mailbox) OnReady(f func()) { m.onReady = f }

// Take empties the mailbox. warnings tell of notifications that were lost before these.
func (m *Mailbox) Take() (list []wire.NotificationResponse, warnings []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lost > 0 {
		warnings = append(warnings, fmt.Sprintf("%d notifications were lost, since more than %d were waiting for the client (pub_sub_channel_size)", m.lost, m.size))
	}
	if m.why != "" {
		warnings = append(warnings, m.why)
	}
	list = m.queue
	m.queue, m.lost, m.why = nil, 0, ""
	return list, warnings
}

// put takes a notification, and reports whether there was room for it.
func (m *Mailbox) put(n wire.NotificationResponse) bool {
	m.mu.Lock()
	room := len(m.queue) < m.size
	if room {
		m.queue = append(m.queue, n)
	} else {
		m.lost++
	}
	m.mu.Unlock()
	m.ring()
	return room
}

func (m *Mailbox) warn(why string) {
	m.mu.Lock()
	m.why = why
	m.mu.Unlock()
	m.ring()
}

func (m *Mailbox) ring() {
	if m.onReady != nil {
		m.onReady()
	}
	select {
	case m.ready <- struct{}{}:
	default:
	}
}
