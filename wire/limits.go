package wire

// Limits on the length word of a message, that is on the body plus the four bytes of the
// word itself, as PostgreSQL and libpq have them.
const (
	// MaxStartup bounds a startup packet's body (MAX_STARTUP_PACKET_LENGTH, libpq/pqcomm.h).
	MaxStartup = 10000
	// MaxSmallMessage bounds the frontend's messages that carry only names and numbers
	// (PQ_SMALL_MESSAGE_LIMIT, libpq/libpq.h).
	MaxSmallMessage = 10000
	// MaxSmallBackendMessage bounds the backend's messages that cannot sensibly be long
	// (VALID_LONG_MESSAGE_TYPE, fe-protocol3.c).
	MaxSmallBackendMessage = 30000
	// MaxLargeMessage bounds every other message (PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize-1).
	MaxLargeMessage = 0x3fffffff - 1
	// MaxSASLMessage bounds a SASL response (PG_MAX_SASL_MESSAGE_LENGTH, libpq/auth.c).
	// Pass it to [Reader.ReadFrameLimit].
	MaxSASLMessage = 1024
	// MaxAuthToken bounds other responses to an authentication request
	// (PG_MAX_AUTH_TOKEN_LENGTH, libpq/auth.h). Pass it to [Reader.ReadFrameLimit].
	MaxAuthToken = 65535
)

// Limit returns the largest length word that PostgreSQL accepts in a message of type t
// sent by side s, and whether s sends such messages at all.
func (s Side) Limit(t Type) (limit int, known bool) {
	if s == Backend {
		return backendLimit(t)
	}
	return frontendLimit(t)
}

// frontendLimit mirrors SocketBackend in tcop/postgres.c.
func frontendLimit(t Type) (int, bool) {
	switch t {
	case TypeQuery, TypeParse, TypeBind, TypeFunctionCall, TypeCopyData:
		return MaxLargeMessage, true
	case TypeExecute, TypeDescribe, TypeClose, TypeSync, TypeFlush, TypeTerminate, TypeCopyDone, TypeCopyFail:
		return MaxSmallMessage, true
	case TypeAuthResponse:
		return MaxAuthToken, true
	}
	return MaxSmallMessage, false
}

func backendLimit(t Type) (int, bool) {
	switch t {
	case TypeCommandComplete, TypeReadyForQuery, TypeParseComplete, TypeBindComplete: // what comes most
		return MaxSmallBackendMessage, true
	case TypeRowDescription, TypeDataRow, TypeCopyData, TypeFunctionCallResponse,
		TypeErrorResponse, TypeNoticeResponse, TypeNotificationResponse:
		return MaxLargeMessage, true
	case TypeParameterDescription:
		// libpq 12 and later lets it be long too: 65,535 parameters take 262,146 bytes.
		return MaxLargeMessage, true
	}
	return MaxSmallBackendMessage, backendName(t) != ""
}
