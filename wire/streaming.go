package wire

import "fmt"

// First bytes of the messages that travel inside CopyData while WAL is streamed
// (PostgreSQL's documentation, "Streaming Replication Protocol").
const (
	SubXLogData           = 'w'
	SubPrimaryKeepalive   = 'k'
	SubStandbyStatus      = 'r'
	SubHotStandbyFeedback = 'h'
)

// XLogData carries write-ahead log, or what an output plugin made of it, inside CopyData.
// AppendTo appends the whole CopyData message; Decode takes CopyData's data. The other
// streaming messages do likewise.
type XLogData struct {
	Start     LSN       // where Data begins
	ServerEnd LSN       // where the server's log ends now
	SendTime  Timestamp // by the server's clock
	Data      []byte
}

func (*XLogData) backend() {}

// AppendTo appends the message to b.
func (m *XLogData) AppendTo(b []byte) []byte {
	b, at := m.Begin(b)
	return end(append(b, m.Data...), at)
}

// Begin starts the message without its Data, which the caller appends before it gives the
// returned position to [End].
func (m *XLogData) Begin(b []byte) ([]byte, int) {
	b, at := Begin(b, TypeCopyData)
	b = append(b, SubXLogData)
	b = appendUint64(b, uint64(m.Start))
	b = appendUint64(b, uint64(m.ServerEnd))
	b = appendUint64(b, uint64(m.SendTime))
	return b, at
}

// Decode reads the message from CopyData's data, whose memory Data shares.
func (m *XLogData) Decode(data []byte) error {
	c := subCursor("XLogData", data, SubXLogData)
	m.Start = LSN(c.uint64())
	m.ServerEnd = LSN(c.uint64())
	m.SendTime = Timestamp(c.uint64())
	m.Data = c.rest()
	return c.end()
}

// A PrimaryKeepalive says that the server is alive, inside CopyData.
type PrimaryKeepalive struct {
	ServerEnd      LSN
	SendTime       Timestamp
	ReplyRequested bool // answer with a StandbyStatus at once, or be disconnected
}

func (*PrimaryKeepalive) backend() {}

// AppendTo appends the message to b.
func (m *PrimaryKeepalive) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeCopyData)
	b = append(b, SubPrimaryKeepalive)
	b = appendUint64(b, uint64(m.ServerEnd))
	b = appendUint64(b, uint64(m.SendTime))
	b = appendBool(b, m.ReplyRequested)
	return end(b, at)
}

// Decode reads the message from CopyData's data.
func (m *PrimaryKeepalive) Decode(data []byte) error {
	c := subCursor("primary keepalive", data, SubPrimaryKeepalive)
	m.ServerEnd = LSN(c.uint64())
	m.SendTime = Timestamp(c.uint64())
	m.ReplyRequested = c.bool()
	return c.end()
}

// A StandbyStatus tells the server how far a client is, inside CopyData. What is flushed
// the server may forget.
type StandbyStatus struct {
	Written        LSN // each position is that of the last byte plus one
	Flushed        LSN
	Applied        LSN
	SendTime       Timestamp // by the client's clock
	ReplyRequested bool      // the server shall answer with a keepalive at once
}

func (*StandbyStatus) frontend() {}

// AppendTo appends the message to b.
func (m *StandbyStatus) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeCopyData)
	b = append(b, SubStandbyStatus)
	b = appendUint64(b, uint64(m.Written))
	b = appendUint64(b, uint64(m.Flushed))
	b = appendUint64(b, uint64(m.Applied))
	b = appendUint64(b, uint64(m.SendTime))
	b = appendBool(b, m.ReplyRequested)
	return end(b, at)
}

// Decode reads the message from CopyData's data.
func (m *StandbyStatus) Decode(data []byte) error {
	c := subCursor("standby status update", data, SubStandbyStatus)
	m.Written = LSN(c.uint64())
	m.Flushed = LSN(c.uint64())
	m.Applied = LSN(c.uint64())
	m.SendTime = Timestamp(c.uint64())
	m.ReplyRequested = c.bool()
	return c.end()
}

// A HotStandbyFeedback tells the server which rows a standby's queries still need, inside
// CopyData. A zero xmin means that there are no such queries any more.
type HotStandbyFeedback struct {
	SendTime         Timestamp
	Xmin             uint32
	XminEpoch        uint32
	CatalogXmin      uint32
	CatalogXminEpoch uint32
}

func (*HotStandbyFeedback) frontend() {}

// AppendTo appends the message to b.
func (m *HotStandbyFeedback) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeCopyData)
	b = append(b, SubHotStandbyFeedback)
	b = appendUint64(b, uint64(m.SendTime))
	b = appendUint32(b, m.Xmin)
	b = appendUint32(b, m.XminEpoch)
	b = appendUint32(b, m.CatalogXmin)
	b = appendUint32(b, m.CatalogXminEpoch)
	return end(b, at)
}

// Decode reads the message from CopyData's data.
func (m *HotStandbyFeedback) Decode(data []byte) error {
	c := subCursor("hot standby feedback", data, SubHotStandbyFeedback)
	m.SendTime = Timestamp(c.uint64())
	m.Xmin = c.uint32()
	m.XminEpoch = c.uint32()
	m.CatalogXmin = c.uint32()
	m.CatalogXminEpoch = c.uint32()
	return c.end()
}

func subCursor(name string, data []byte, first byte) cursor {
	c := newCursor(name, data)
	if got := c.byte(); c.err == nil && got != first {
		c.fail(fmt.Sprintf("unexpected message type %q", got))
	}
	return c
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
