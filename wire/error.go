package wire

import (
	"context"
	"errors"
	"fmt"
)

// A Severity says how bad an [Error] is, or what kind of notice it is.
type Severity uint8

// The severities there are. The zero value is an ordinary error.
const (
	SeverityError   Severity = iota // the statement failed
	SeverityFatal                   // the session ends
	SeverityPanic                   // all sessions end
	SeverityWarning                 // this and the rest are notices
	SeverityNotice
	SeverityDebug
	SeverityInfo
	SeverityLog
)

// String returns the word that the protocol uses, such as "ERROR".
func (s Severity) String() string {
	switch s {
	case SeverityFatal:
		return "FATAL"
	case SeverityPanic:
		return "PANIC"
	case SeverityWarning:
		return "WARNING"
	case SeverityNotice:
		return "NOTICE"
	case SeverityDebug:
		return "DEBUG"
	case SeverityInfo:
		return "INFO"
	case SeverityLog:
		return "LOG"
	}
	return "ERROR"
}

// ParseSeverity is the inverse of [Severity.String].
func ParseSeverity(word string) (Severity, bool) {
	for s := SeverityError; s <= SeverityLog; s++ {
		if s.String() == word {
			return s, true
		}
	}
	return SeverityError, false
}

// IsNotice reports whether it belongs into a NoticeResponse rather than an ErrorResponse.
func (s Severity) IsNotice() bool { return s >= SeverityWarning }

// An Error is an SQL error or notice with every field that the protocol has for it. Find
// one in a chain by errors.As with a **Error target.
type Error struct {
	Severity         Severity // V, and S unless LocalSeverity is set
	LocalSeverity    string   // S: the severity in the server's language
	Code             Code     // C
	Message          string   // M
	Detail           string   // D
	Hint             string   // H
	Position         int      // P: in the query, counted in characters from 1; 0 is none
	InternalPosition int      // p: in InternalQuery
	InternalQuery    string   // q: a query that a function ran
	Where            string   // W: the call stack of PL functions
	Schema           string   // s
	Table            string   // t
	Column           string   // c
	DataType         string   // d
	Constraint       string   // n
	File             string   // F: in the server's source
	Line             int      // L
	Routine          string   // R

	cause error
}

// Errorf returns an error of severity ERROR. A %w in the format keeps its operand for
// errors.Is and errors.As; it does not travel to the peer.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns severity, message and code, for instance
// `ERROR: relation "t" does not exist (SQLSTATE 42P01)`.
func (e *Error) Error() string {
	return e.Severity.String() + ": " + e.Message + " (SQLSTATE " + string(e.Code) + ")"
}

// SQLState returns the code. It is what programs ask for that do not know this package.
func (e *Error) SQLState() string { return string(e.Code) }

// Unwrap returns what Errorf was given for %w.
func (e *Error) Unwrap() error { return e.cause }

// Response returns the message that carries e as an error.
func (e *Error) Response() *ErrorResponse { return &ErrorResponse{Error: *e} }

// Notice returns the message that carries e as a notice.
func (e *Error) Notice() *NoticeResponse { return &NoticeResponse{Error: *e} }

// AsError returns the [*Error] in err's chain, or a new one that says what err says: with
// the code of the first error in the chain that has a method SQLState, as pgx's have; for
// a context's end 57014 (query_canceled); else XX000 (internal_error). nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Code: CodeInternalError, Message: err.Error(), cause: err}
	var stated interface{ SQLState() string }
	switch {
	case errors.As(err, &stated) && Code(stated.SQLState()).Valid():
		e.Code = Code(stated.SQLState())
	case errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = CodeQueryCanceled, "canceling statement due to statement timeout"
	case errors.Is(err, context.Canceled):
		e.Code, e.Message = CodeQueryCanceled, "canceling statement due to user request"
	}
	return e
}

func protocolViolation(message string) *Error {
	return &Error{Code: CodeProtocolViolation, Message: message}
}
