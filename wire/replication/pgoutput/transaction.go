package pgoutput

import "github.com/pgx-dev/pgx-dev/wire"

// Begin opens a transaction that has committed.
type Begin struct {
	FinalLSN   wire.LSN // of its commit record
	CommitTime wire.Timestamp
	XID        uint32
}

// AppendTo appends the message to b.
func (m *Begin) AppendTo(b []byte) []byte {
	b = append(b, 'B')
	b = appendUint64(b, m.FinalLSN)
	b = appendUint64(b, m.CommitTime)
	return appendUint32(b, m.XID)
}

func (m *Begin) decode(r *reader) {
	m.FinalLSN, m.CommitTime, m.XID = r.lsn(), r.time(), r.uint32()
}

// Commit closes a transaction.
type Commit struct {
	CommitLSN  wire.LSN // of its commit record
	EndLSN     wire.LSN // behind it: what a subscriber acknowledges
	CommitTime wire.Timestamp
}

// AppendTo appends the message to b.
func (m *Commit) AppendTo(b []byte) []byte {
	b = append(b, 'C', 0)
	b = appendUint64(b, m.CommitLSN)
	b = appendUint64(b, m.EndLSN)
	return appendUint64(b, m.CommitTime)
}

func (m *Commit) decode(r *reader) {
	r.flags()
	m.CommitLSN, m.EndLSN, m.CommitTime = r.lsn(), r.lsn(), r.time()
}

// Origin follows Begin when the transaction came to the server by replication.
type Origin struct {
	CommitLSN wire.LSN // on the server that it came from
	Name      string   // of the replication origin
}

// AppendTo appends the message to b.
func (m *Origin) AppendTo(b []byte) []byte {
	b = appendUint64(append(b, 'O'), m.CommitLSN)
	return appendString(b, m.Name)
}

func (m *Origin) decode(r *reader) { m.CommitLSN, m.Name = r.lsn(), r.string() }

// A LogicalMessage was written by pg_logical_emit_message. One that is not transactional
// comes outside of any transaction.
type LogicalMessage struct {
	XID           uint32 // inside a segment of a streamed transaction, else 0
	Transactional bool
	LSN           wire.LSN
	Prefix        string
	Content       []byte
}

// AppendTo appends the message to b.
func (m *LogicalMessage) AppendTo(b []byte) []byte {
	b = appendBool(begin(b, 'M', m.XID), m.Transactional)
	b = appendUint64(b, m.LSN)
	b = appendString(b, m.Prefix)
	b = appendUint32(b, uint32(len(m.Content)))
	return append(b, m.Content...)
}

func (m *LogicalMessage) decode(r *reader) {
	m.XID = r.xid()
	flags := r.byte()
	if flags > 1 {
		r.fail("it has unknown flags")
	}
	m.Transactional = flags == 1
	m.LSN, m.Prefix = r.lsn(), r.string()
	m.Content = r.bytes(int(int32(r.uint32())))
}
