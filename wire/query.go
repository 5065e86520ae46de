package wire

// A Query runs a string of statements by the simple protocol.
type Query struct {
	SQL string
}

func (*Query) frontend() {}

// AppendTo appends the message to b.
func (m *Query) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeQuery)
	b = appendString(b, m.SQL, "Query")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *Query) Decode(body []byte) error {
	c := newCursor("Query", body)
	c.string(&m.SQL)
	return c.end()
}

// EmptyQueryResponse stands in for CommandComplete when the query string was empty.
type EmptyQueryResponse struct{}

func (*EmptyQueryResponse) backend() {}

// AppendTo appends the message to b.
func (*EmptyQueryResponse) AppendTo(b []byte) []byte { return emptyBody(b, TypeEmptyQueryResponse) }

// Decode reads the message from its body.
func (*EmptyQueryResponse) Decode(body []byte) error {
	return decodeEmpty("EmptyQueryResponse", body)
}

// CommandComplete ends the answer to one statement.
type CommandComplete struct {
	Tag string // for instance "SELECT 3"
}

func (*CommandComplete) backend() {}

// AppendTo appends the message to b.
func (m *CommandComplete) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeCommandComplete)
	b = appendString(b, m.Tag, "CommandComplete")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *CommandComplete) Decode(body []byte) error {
	c := newCursor("CommandComplete", body)
	c.string(&m.Tag)
	return c.end()
}

// A TxStatus is the state of a session's transaction.
type TxStatus byte

// The states that ReadyForQuery tells.
const (
	TxIdle   TxStatus = 'I' // not in a transaction block
	TxActive TxStatus = 'T' // in a transaction block
	TxFailed TxStatus = 'E' // in a failed transaction block: statements are refused until it ends
)

// ReadyForQuery says that the backend waits for the next command.
type ReadyForQuery struct {
	TxStatus TxStatus
}

func (*ReadyForQuery) backend() {}

// AppendTo appends the message to b.
func (m *ReadyForQuery) AppendTo(b []byte) []byte {
	return append(b, byte(TypeReadyForQuery), 0, 0, 0, 5, byte(m.TxStatus))
}

// Decode reads the message from its body.
func (m *ReadyForQuery) Decode(body []byte) error {
	if len(body) != 1 {
		c := newCursor("ReadyForQuery", body)
		c.byte()
		return c.end()
	}
	m.TxStatus = TxStatus(body[0])
	return nil
}

// Terminate says goodbye.
type Terminate struct{}

func (*Terminate) frontend() {}

// AppendTo appends the message to b.
func (*Terminate) AppendTo(b []byte) []byte { return emptyBody(b, TypeTerminate) }

// Decode reads the message from its body.
func (*Terminate) Decode(body []byte) error { return decodeEmpty("Terminate", body) }
