package session

import "github.com/pgx-dev/pgx-dev/wire"

// A Kind says what an Event is about.
type Kind uint8

// The kinds of events. The first group comes from the client's bytes, the second from the
// server's.
const (
	Asked      Kind = iota + 1 // a request was queued: Type says which; SQL of Query and Parse
	Terminated                 // the client said goodbye

	Prepared    // Statement exists now
	Bound       // Portal exists now
	Described   // Statement knows its parameters and columns now
	Closed      // Name of Type 'S' or 'P' is gone
	Completed   // a command ended well: Tag, and SQL where it is known
	Suspended   // Portal has more rows
	Failed      // the server sent an error: Code; requests up to Sync are dropped
	Ready       // ReadyForQuery: Tx
	Reported    // ParameterStatus: Name, Value
	Notified    // NotificationResponse: Name is the channel, Value the payload
	CopyStarted // Type is that of the server's response: 'G', 'H' or 'W'
	CopyEnded   // the COPY is over, well or not
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{
		"", "asked", "terminated", "prepared", "bound", "described", "closed", "completed", "suspended",
		"failed", "ready", "reported", "notified", "copy started", "copy ended",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// An Event is one thing that happened. Only the fields its Kind names are set.
type Event struct {
	Kind      Kind
	Type      wire.Type
	Name      string
	Value     string
	SQL       string
	Tag       string
	Code      wire.Code
	Tx        wire.TxStatus
	Statement *Statement
	Portal    *Portal
}
