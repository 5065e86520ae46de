// Package effect tells from its text what a statement does to the session beyond the
// transaction it runs in: what a server connection that serves many sessions must be given
// back, or cannot be shared with.
//
// It looks at words, not at meaning, so it is fast enough for every statement; where it cannot
// be sure it assumes the worse. What a function does inside cannot be seen in a text.
package effect

// A Kind says what an Effect is.
type Kind uint8

// The kinds.
const (
	// Set gives parameter Name the Value, as SET has it in its text; see Statement.
	Set Kind = iota + 1
	// Reset takes parameter Name back to what it was at the session's start.
	Reset
	// ResetAll is RESET ALL.
	ResetAll
	// SetParams is set_config with parameters: Name, Value or Local are 1-based parameter
	// numbers in NameAt, ValueAt and LocalAt, if those are not 0.
	SetParams
	// DiscardAll is DISCARD ALL.
	DiscardAll
	// Savepoint, Release and RollbackTo are of the savepoint Name.
	Savepoint
	Release
	RollbackTo
	// Pin is what no other session may share: Name says why.
	Pin
	// Unpin may be the end of what pinned.
	Unpin
	// Unknown may change parameters in a way that the text does not tell: DO, CALL.
	Unknown
	// Prepare is PREPARE of the statement Name, which stands at Start to End. With Value Effective
	// the statement has effects itself once it is run.
	Prepare
	// Execute is EXECUTE, or EXPLAIN EXECUTE or the like, of the statement Name, which stands
	// at Start to End in the text.
	Execute
	// Deallocate is DEALLOCATE of the statement Name, at Start to End. Empty: ALL.
	Deallocate
	// Listen and Unlisten are of the channel Name; Unlisten of "" is all. The word LISTEN stands at
	// Start to End.
	Listen
	Unlisten
)

// An Effect is one thing that a statement does.
type Effect struct {
	Kind        Kind
	Name, Value string
	// NameAt, ValueAt and LocalAt are parameters of SetParams.
	NameAt, ValueAt, LocalAt int
	// Start and End are where Name stands in the text of Execute and Deallocate.
	Start, End int
	// Statement is the number of the statement within its text, from 0.
	Statement int
}

// A Text is what is known of the text of a query.
type Text struct {
	// Statements is how many statements there are.
	Statements int
	// Effects are in the order of their statements. Nil for most.
	Effects []Effect
}

// Effective is the Value of a Prepare.
const Effective = "effects"

// pins are the reasons for Pin.
const (
	PinLock   = "an advisory lock"
	PinTemp   = "a temporary table"
	PinCursor = "a cursor WITH HOLD"
	PinListen = "LISTEN"
	PinSet    = "a parameter whose value the text does not tell"
	PinSQL    = "a statement of PREPARE"
)
