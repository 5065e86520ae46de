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
	again          bool          // there was a Close of stmt before, so that the server may have it even if this is skipped
	refused        *wire.Error   // what the client is told for the error that the server makes of it
}

// A queue is a list of requests, first in, first out.
type queue struct {
	items  []request
	head   int
	series uint64            // how many have ended
	sent   map[uint64]sentIn // the statements that requests here send
}

// A sentIn says how many requests send a statement, and in which series the last one does.
type sentIn struct {
	requests int
	series   uint64
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(r request) {
	q.items = append(q.items, r)
	switch {
	case r.kind == askedSync:
		q.series++
	case r.added:
		if q.sent == nil {
			q.sent = map[uint64]sentIn{}
		}
		q.sent[r.stmt.id] = sentIn{q.sent[r.stmt.id].requests + 1, q.series}
	}
}

// doubtful says that a statement is on its way to the server in a series that the client has ended,
// and that may fail before it: who comes after that cannot rely on it.
func (q *queue) doubtful(id uint64) bool {
	in, ok := q.sent[id]
	return ok && in.series != q.series
}

// sentAgain says that there is another request that sends a statement.
func (q *queue) sentAgain(id uint64) bool { return q.sent[id].requests > 1 }

// first returns the request that the server answers now, or nil.
func (q *queue) first() *request {
	if q.head == len(q.items) {
		return nil
	}
	return &q.items[q.head]
}

func (q *queue) pop() {
	if r := &q.items[q.head]; r.added {
		if in := q.sent[r.stmt.id]; in.requests > 1 {
			in.requests--
			q.sent[r.stmt.id] = in
		} else {
			delete(q.sent, r.stmt.id)
		}
	}
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
