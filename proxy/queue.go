package proxy

import (
	"github.com/pgx-dev/pgx-dev/proxy/effect"
	"github.com/pgx-dev/pgx-dev/wire"
)

// maxQueue bounds the requests of a client that wait for an answer.
const maxQueue = 1 << 16

// maxIdleQueue is for how many there may be room while none does.
const maxIdleQueue = 64

// An asked is the kind of a request.
type asked uint8

const (
	askedQuery asked = iota + 1
	askedFunction
	askedSync
	askedParse
	askedBind
	askedDescribe
	askedExecute
	askedClose
	copyEnd // CopyDone and CopyFail, which have no answer of their own
)

// A request is a message that the server owes an answer for.
type request struct {
	kind asked
	// drop says that the proxy asked, not the client.
	drop bool
	// probe says that the answer tells whether something pins the session.
	probe bool
	// swap says that a Close stands for the client's Parse.
	swap bool
	// added says that stmt was sent to the server by this request, removed that it was taken
	// away; both are undone when the server skips the request.
	added, removed bool
	unnamed        bool // it is the client's own unnamed statement
	prepares       bool // it is the PREPARE that makes stmt
	name           string
	stmt           *statement
	version        uint64        // of stmt; of a probe, the session's pins when it was sent
	text           *effect.Text  // of a query, or of what is executed
	values         *[]effectArgs // of parameters that effects refer to
	at             int           // statements of the query that are complete
	explains       bool          // its answer is to say where it ran
	refused        *wire.Error   // what the client is told for the error that the server makes of it
}

// A queue is a list of requests, first in, first out.
type queue struct {
	items []request
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(r request) { q.items = append(q.items, r) }

// first returns the request that the server answers now, or nil.
func (q *queue) first() *request {
	if q.head == len(q.items) {
		return nil
	}
	return &q.items[q.head]
}

func (q *queue) pop() {
	q.items[q.head] = request{} // let go of what it points to
	q.head++
	switch {
	case q.head < len(q.items):
		if q.head > 1024 {
			q.items = append(q.items[:0:0], q.items[q.head:]...)
			q.head = 0
		}
	case cap(q.items) > maxIdleQueue:
		q.items, q.head = nil, 0 // an idle session costs little
	default:
		q.items, q.head = q.items[:0], 0
	}
}
