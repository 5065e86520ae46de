package wire

import "fmt"

// A Type is the first byte of a message. Its meaning depends on who sent it: 'D' is
// Describe from a frontend and DataRow from a backend. 0 stands for the startup packets,
// which have no type byte.
type Type byte

// Message types that a frontend sends.
const (
	TypeBind         Type = 'B'
	TypeClose        Type = 'C'
	TypeDescribe     Type = 'D'
	TypeExecute      Type = 'E'
	TypeFunctionCall Type = 'F'
	TypeFlush        Type = 'H'
	TypeParse        Type = 'P'
	TypeQuery        Type = 'Q'
	TypeSync         Type = 'S'
	TypeTerminate    Type = 'X'
	TypeCopyFail     Type = 'f'
	TypeAuthResponse Type = 'p' // PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse
)

// Message types that both sides send.
const (
	TypeCopyData Type = 'd'
	TypeCopyDone Type = 'c'
)

// Message types that a backend sends.
const (
	TypeParseComplete            Type = '1'
	TypeBindComplete             Type = '2'
	TypeCloseComplete            Type = '3'
	TypeNotificationResponse     Type = 'A'
	TypeCommandComplete          Type = 'C'
	TypeDataRow                  Type = 'D'
	TypeErrorResponse            Type = 'E'
	TypeCopyInResponse           Type = 'G'
	TypeCopyOutResponse          Type = 'H'
	TypeEmptyQueryResponse       Type = 'I'
	TypeBackendKeyData           Type = 'K'
	TypeNoticeResponse           Type = 'N'
	TypeAuthentication           Type = 'R'
	TypeParameterStatus          Type = 'S'
	TypeRowDescription           Type = 'T'
	TypeFunctionCallResponse     Type = 'V'
	TypeCopyBothResponse         Type = 'W'
	TypeReadyForQuery            Type = 'Z'
	TypeNoData                   Type = 'n'
	TypePortalSuspended          Type = 's'
	TypeParameterDescription     Type = 't'
	TypeNegotiateProtocolVersion Type = 'v'
)

// String returns the type byte in quotes, or "startup" for 0. [Side.Name] tells the name
// of the message.
func (t Type) String() string {
	if t == 0 {
		return "startup"
	}
	return fmt.Sprintf("%q", rune(t))
}

// A Side is one end of a connection; with a [Type] it tells which message is meant.
type Side uint8

// The two ends of a connection.
const (
	Frontend Side = iota // the client, or whoever speaks as one
	Backend              // the server, or whoever speaks as one
)

// String returns "frontend" or "backend".
func (s Side) String() string {
	if s == Backend {
		return "backend"
	}
	return "frontend"
}

// Name returns the name of the message of type t that side s sends, as the protocol's
// documentation spells it, or "" if s sends no such message.
func (s Side) Name(t Type) string {
	if s == Backend {
		return backendName(t)
	}
	return frontendName(t)
}

func frontendName(t Type) string {
	switch t {
	case 0:
		return "StartupMessage"
	case TypeBind:
		return "Bind"
	case TypeClose:
		return "Close"
	case TypeDescribe:
		return "Describe"
	case TypeExecute:
		return "Execute"
	case TypeFunctionCall:
		return "FunctionCall"
	case TypeFlush:
		return "Flush"
	case TypeParse:
		return "Parse"
	case TypeQuery:
		return "Query"
	case TypeSync:
		return "Sync"
	case TypeTerminate:
		return "Terminate"
	case TypeCopyFail:
		return "CopyFail"
	case TypeAuthResponse:
		return "AuthResponse"
	case TypeCopyData:
		return "CopyData"
	case TypeCopyDone:
		return "CopyDone"
	}
	return ""
}

func backendName(t Type) string {
	switch t {
	case TypeParseComplete:
		return "ParseComplete"
	case TypeBindComplete:
		return "BindComplete"
	case TypeCloseComplete:
		return "CloseComplete"
	case TypeNotificationResponse:
		return "NotificationResponse"
	case TypeCommandComplete:
		return "CommandComplete"
	case TypeDataRow:
		return "DataRow"
	case TypeErrorResponse:
		return "ErrorResponse"
	case TypeCopyInResponse:
		return "CopyInResponse"
	case TypeCopyOutResponse:
		return "CopyOutResponse"
	case TypeCopyBothResponse:
		return "CopyBothResponse"
	case TypeEmptyQueryResponse:
		return "EmptyQueryResponse"
	case TypeBackendKeyData:
		return "BackendKeyData"
	case TypeNoticeResponse:
		return "NoticeResponse"
	case TypeAuthentication:
		return "Authentication"
	case TypeParameterStatus:
		return "ParameterStatus"
	case TypeRowDescription:
		return "RowDescription"
	case TypeFunctionCallResponse:
		return "FunctionCallResponse"
	case TypeReadyForQuery:
		return "ReadyForQuery"
	case TypeNoData:
		return "NoData"
	case TypePortalSuspended:
		return "PortalSuspended"
	case TypeParameterDescription:
		return "ParameterDescription"
	case TypeNegotiateProtocolVersion:
		return "NegotiateProtocolVersion"
	case TypeCopyData:
		return "CopyData"
	case TypeCopyDone:
		return "CopyDone"
	}
	return ""
}
