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
	ready chan struct{}
	size  int

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

func (m *Mailbox) put(n wire.NotificationResponse) {
	m.mu.Lock()
	if len(m.queue) < m.size {
		m.queue = append(m.queue, n)
	} else {
		m.lost++
	}
	m.mu.Unlock()
	m.ring()
}

func (m *Mailbox) warn(why string) {
	m.mu.Lock()
	m.why = why
	m.mu.Unlock()
	m.ring()
}

func (m *Mailbox) ring() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}
