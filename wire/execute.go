package wire

// Execute runs a portal.
type Execute struct {
	Portal  string
	MaxRows uint32 // 0 means all
}

func (*Execute) frontend() {}

// AppendTo appends the message to b.
func (m *Execute) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeExecute)
	b = appendString(b, m.Portal, "Execute")
	b = appendUint32(b, m.MaxRows)
	return end(b, at)
}

// Decode reads the message from its body. A negative number of rows means all, as it does
// to PostgreSQL (exec_execute_message: "Anything <= 0 means no limit").
func (m *Execute) Decode(body []byte) error {
	c := newCursor("Execute", body)
	c.string(&m.Portal)
	m.MaxRows = uint32(max(c.int32(), 0))
	return c.end()
}

// PortalSuspended says that an Execute stopped at its row limit with rows left.
type PortalSuspended struct{}

func (*PortalSuspended) backend() {}

// AppendTo appends the message to b.
func (*PortalSuspended) AppendTo(b []byte) []byte { return emptyBody(b, TypePortalSuspended) }

// Decode reads the message from its body.
func (*PortalSuspended) Decode(body []byte) error { return decodeEmpty("PortalSuspended", body) }

// Sync ends a series of extended-protocol messages: the transaction that they opened is
// committed or rolled back, errors are over, and ReadyForQuery comes back.
type Sync struct{}

func (*Sync) frontend() {}

// AppendTo appends the message to b.
func (*Sync) AppendTo(b []byte) []byte { return emptyBody(b, TypeSync) }

// Decode reads the message from its body.
func (*Sync) Decode(body []byte) error { return decodeEmpty("Sync", body) }

// Flush asks the backend to send what it has.
type Flush struct{}

func (*Flush) frontend() {}

// AppendTo appends the message to b.
func (*Flush) AppendTo(b []byte) []byte { return emptyBody(b, TypeFlush) }

// Decode reads the message from its body.
func (*Flush) Decode(body []byte) error { return decodeEmpty("Flush", body) }
