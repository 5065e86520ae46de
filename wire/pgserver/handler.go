package pgserver

import (
	"context"
	"errors"
	"slices"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Handler answers queries. ServeQuery is called for one statement at a time by each session,
// and by all sessions at once. An error it returns is sent to the client; see [wire.Error] for
// how to give it a code. The writer and the query must not be used after it returns.
//
// When Query.DescribeOnly is set, the client only asks which columns the statement has, as
// HEAD does in HTTP; see there. A handler whose statements change something implements
// [Preparer] or looks at it.
type Handler interface {
	ServeQuery(w ResponseWriter, q *Query) error
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc func(w ResponseWriter, q *Query) error

// ServeQuery calls f.
func (f HandlerFunc) ServeQuery(w ResponseWriter, q *Query) error { return f(w, q) }

// A ResponseWriter sends the answer to one query: Columns, then any number of rows, then
// Complete. Statements without rows call Complete only. It must be used by one goroutine at a
// time. Methods that send may block as long as the client does not read; they return an error
// when the query was cancelled, when the connection has failed, and when they are called out
// of order. The handler should return that error.
type ResponseWriter interface {
	// Columns begins a result with rows.
	Columns(cols ...Column) error
	// Row sends a row. Values are encoded for the types of the columns and the formats that
	// the client asked for: Go's basic types, time.Time, [16]byte, slices, pgtype's types and
	// whatever else pgx's type map encodes; nil is NULL; a string stands for the text
	// representation of any type, in binary too. Text that is not UTF-8 or has a zero byte is
	// an error with code 22021, and nothing of the row is sent. Where the client fetches with a limit, Row waits for it to
	// fetch more.
	Row(values ...any) error
	// RawRow sends a row of values that are already encoded in the formats of Formats, as they
	// are: it does not look at them, nor allocate. nil is NULL.
	RawRow(values [][]byte) error
	// EncodeRow is RawRow for values that are appended right where they are sent from.
	EncodeRow(r RowEncoder) error
	// Formats returns the format of each column of the current result.
	Formats() []wire.Format
	// Complete ends a result with a command tag, for instance "INSERT 0 1". A result with
	// rows that is not completed gets "SELECT" and the number of rows.
	Complete(tag string) error
	// Notice sends a message beside the result, at once when it is a warning or so long that
	// a block is full, else with the next block.
	Notice(n *wire.Error) error
	// CopyIn asks the client for data: COPY … FROM STDIN.
	CopyIn(f CopyFormat, columns int) (*CopyReader, error)
	// CopyOut sends data: COPY … TO STDOUT.
	CopyOut(f CopyFormat, columns int) (*CopyWriter, error)
	// CopyBoth opens a stream in both directions, for replication.
	CopyBoth() (*CopyConn, error)
}

// A RowEncoder appends the values of a row. AppendColumn returns dst with column i's value
// appended in the format of [ResponseWriter.Formats], and false when it is NULL.
type RowEncoder interface {
	AppendColumn(dst []byte, i int) (out []byte, ok bool)
}

// A Preparer is a Handler that can tell parameters and columns of a statement without running
// it. Prepare is called for Parse, with the parameter types that the client gave; 0 stands for
// one that it left open. A nil Stmt leaves the statement to ServeQuery.
type Preparer interface {
	Prepare(ctx context.Context, s *Session, sql string, types []uint32) (Stmt, error)
}

// A Stmt is a prepared statement. It belongs to one session. If it has a method Close() it is
// called when the statement is dropped.
type Stmt interface {
	Params() []uint32  // the types of $1, $2, …; 0 becomes text
	Columns() []Column // nil: it returns no rows
	Query(w ResponseWriter, q *Query) error
}

// A TxStater is a Handler that knows the state of a session's transaction. Without it the
// library follows the tags BEGIN, START TRANSACTION, COMMIT, ROLLBACK and PREPARE TRANSACTION,
// and takes a transaction for failed after an error.
type TxStater interface {
	TxStatus(s *Session) wire.TxStatus
}

// A SessionStarter is a Handler that is told of each session once it is authenticated. An
// error ends the session before it begins.
type SessionStarter interface {
	StartSession(s *Session) error
}

// A SessionEnder is a Handler that is told of the end of each session whose StartSession
// returned nil.
type SessionEnder interface {
	EndSession(s *Session)
}

// A Syncer is a Handler that is told when a simple query string or a series of extended
// messages ends, which is where an implicit transaction ends too. failed says that an error
// came up in it.
type Syncer interface {
	Sync(s *Session, failed bool) error
}

// A FunctionCaller is a Handler that answers FunctionCall messages, the "fast path".
type FunctionCaller interface {
	CallFunction(ctx context.Context, s *Session, oid uint32, args []Value, format wire.Format) (result []byte, err error)
}

// A Middleware wraps a Handler. To keep the optional methods of the inner handler, the outer
// one is an [Unwrapper].
type Middleware func(Handler) Handler

// Chain applies middleware around h: the first is the outermost.
func Chain(h Handler, around ...Middleware) Handler {
	for _, a := range slices.Backward(around) {
		h = a(h)
	}
	return h
}

// An Unwrapper is a Handler around another one. The optional interfaces are looked for along
// the chain, so that middleware does not hide them; a Preparer that wraps one must pass on
// what it does not answer itself.
type Unwrapper interface {
	Unwrap() Handler
}

// find returns the first handler in the chain that is a T.
func find[T any](h Handler) (T, bool) {
	for h != nil {
		if t, ok := h.(T); ok {
			return t, true
		}
		u, ok := h.(Unwrapper)
		if !ok {
			break
		}
		h = u.Unwrap()
	}
	var none T
	return none, false
}

// Errors of the ResponseWriter.
var (
	// ErrDescribeOnly is returned by Columns when only they were wanted.
	ErrDescribeOnly = errors.New("pgserver: only the columns were asked for")
	// ErrPortalClosed is returned by Row when the client does not want more rows.
	ErrPortalClosed = errors.New("pgserver: the client closed the portal")
)
