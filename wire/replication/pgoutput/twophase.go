package pgoutput

import "github.com/pgx-dev/pgx-dev/wire"

// BeginPrepare opens a transaction that has been prepared.
type BeginPrepare struct {
	PrepareLSN  wire.LSN
	EndLSN      wire.LSN
	PrepareTime wire.Timestamp
	XID         uint32
	GID         string // that PREPARE TRANSACTION was given
}

// AppendTo appends the message to b.
func (m *BeginPrepare) AppendTo(b []byte) []byte {
	b = appendUint64(append(b, 'b'), m.PrepareLSN)
	b = appendUint64(b, m.EndLSN)
	b = appendUint64(b, m.PrepareTime)
	return appendString(appendUint32(b, m.XID), m.GID)
}

func (m *BeginPrepare) decode(r *reader) {
	m.PrepareLSN, m.EndLSN, m.PrepareTime = r.lsn(), r.lsn(), r.time()
	m.XID, m.GID = r.uint32(), r.string()
}

// Prepare closes a transaction that has been prepared.
type Prepare struct {
	PrepareLSN  wire.LSN
	EndLSN      wire.LSN
	PrepareTime wire.Timestamp
	XID         uint32
	GID         string
}

// AppendTo appends the message to b.
func (m *Prepare) AppendTo(b []byte) []byte {
	return appendPrepared(b, 'P', m.PrepareLSN, m.EndLSN, m.PrepareTime, m.XID, m.GID)
}

func (m *Prepare) decode(r *reader) {
	r.prepared(&m.PrepareLSN, &m.EndLSN, &m.PrepareTime, &m.XID, &m.GID)
}

// StreamPrepare says that a streamed transaction has been prepared.
type StreamPrepare struct {
	PrepareLSN  wire.LSN
	EndLSN      wire.LSN
	PrepareTime wire.Timestamp
	XID         uint32
	GID         string
}

// AppendTo appends the message to b.
func (m *StreamPrepare) AppendTo(b []byte) []byte {
	return appendPrepared(b, 'p', m.PrepareLSN, m.EndLSN, m.PrepareTime, m.XID, m.GID)
}

func (m *StreamPrepare) decode(r *reader) {
	r.prepared(&m.PrepareLSN, &m.EndLSN, &m.PrepareTime, &m.XID, &m.GID)
}

// CommitPrepared says that a prepared transaction has committed.
type CommitPrepared struct {
	CommitLSN  wire.LSN
	EndLSN     wire.LSN
	CommitTime wire.Timestamp
	XID        uint32
	GID        string
}

// AppendTo appends the message to b.
func (m *CommitPrepared) AppendTo(b []byte) []byte {
	return appendPrepared(b, 'K', m.CommitLSN, m.EndLSN, m.CommitTime, m.XID, m.GID)
}

func (m *CommitPrepared) decode(r *reader) {
	r.prepared(&m.CommitLSN, &m.EndLSN, &m.CommitTime, &m.XID, &m.GID)
}

// RollbackPrepared says that a prepared transaction has been rolled back.
type RollbackPrepared struct {
	PrepareEndLSN wire.LSN
	EndLSN        wire.LSN // of the rollback
	PrepareTime   wire.Timestamp
	RollbackTime  wire.Timestamp
	XID           uint32
	GID           string
}

// AppendTo appends the message to b.
func (m *RollbackPrepared) AppendTo(b []byte) []byte {
	b = appendUint64(append(b, 'r', 0), m.PrepareEndLSN)
	b = appendUint64(b, m.EndLSN)
	b = appendUint64(b, m.PrepareTime)
	b = appendUint64(b, m.RollbackTime)
	return appendString(appendUint32(b, m.XID), m.GID)
}

func (m *RollbackPrepared) decode(r *reader) {
	r.flags()
	m.PrepareEndLSN, m.EndLSN = r.lsn(), r.lsn()
	m.PrepareTime, m.RollbackTime = r.time(), r.time()
	m.XID, m.GID = r.uint32(), r.string()
}

func appendPrepared(b []byte, t byte, at, end wire.LSN, when wire.Timestamp, xid uint32, gid string) []byte {
	b = appendUint64(append(b, t, 0), at)
	b = appendUint64(b, end)
	b = appendUint64(b, when)
	return appendString(appendUint32(b, xid), gid)
}

func (r *reader) prepared(at, end *wire.LSN, when *wire.Timestamp, xid *uint32, gid *string) {
	r.flags()
	*at, *end, *when = r.lsn(), r.lsn(), r.time()
	*xid, *gid = r.uint32(), r.string()
}
