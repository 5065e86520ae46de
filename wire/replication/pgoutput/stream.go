package pgoutput

import "github.com/pgx-dev/pgx-dev/wire"

// StreamStart opens a segment of a transaction that may still be running. Until StreamStop
// all changes are of that transaction or its subtransactions.
type StreamStart struct {
	XID   uint32
	First bool // the transaction's first segment
}

// AppendTo appends the message to b.
func (m *StreamStart) AppendTo(b []byte) []byte {
	return appendBool(appendUint32(append(b, 'S'), m.XID), m.First)
}

func (m *StreamStart) decode(r *reader) {
	if r.streaming {
		r.fail("a segment is open already")
	}
	m.XID = r.uint32()
	m.First = r.byte() == 1
}

// StreamStop closes a segment.
type StreamStop struct{}

// AppendTo appends the message to b.
func (m *StreamStop) AppendTo(b []byte) []byte { return append(b, 'E') }

func (m *StreamStop) decode(r *reader) {
	if !r.streaming {
		r.fail("no segment is open")
	}
}

// StreamCommit says that a streamed transaction has committed.
type StreamCommit struct {
	XID        uint32
	CommitLSN  wire.LSN
	EndLSN     wire.LSN
	CommitTime wire.Timestamp
}

// AppendTo appends the message to b.
func (m *StreamCommit) AppendTo(b []byte) []byte {
	b = append(appendUint32(append(b, 'c'), m.XID), 0)
	b = appendUint64(b, m.CommitLSN)
	b = appendUint64(b, m.EndLSN)
	return appendUint64(b, m.CommitTime)
}

func (m *StreamCommit) decode(r *reader) {
	m.XID = r.uint32()
	r.flags()
	m.CommitLSN, m.EndLSN, m.CommitTime = r.lsn(), r.lsn(), r.time()
}

// StreamAbort says that a streamed transaction, or one of its subtransactions, has been
// rolled back.
type StreamAbort struct {
	XID    uint32
	SubXID uint32 // XID when it is the whole transaction
	// Since version 4, and only when the subscriber has asked for streaming "parallel", the
	// message has these.
	HasLSN    bool
	AbortLSN  wire.LSN
	AbortTime wire.Timestamp
}

// AppendTo appends the message to b.
func (m *StreamAbort) AppendTo(b []byte) []byte {
	b = appendUint32(append(b, 'A'), m.XID)
	b = appendUint32(b, m.SubXID)
	if m.HasLSN {
		b = appendUint64(b, m.AbortLSN)
		b = appendUint64(b, m.AbortTime)
	}
	return b
}

func (m *StreamAbort) decode(r *reader) {
	m.XID, m.SubXID = r.uint32(), r.uint32()
	if r.left() > 0 {
		m.HasLSN = true
		m.AbortLSN, m.AbortTime = r.lsn(), r.time()
	}
}
