// Package wire is the PostgreSQL protocol, version 3: its messages, their framing and its
// errors. It knows no server, no client and no SQL; it needs nothing but the standard
// library.
//
// # Flow
//
// A connection opens with packets that have no type byte:
//
//	frontend                          backend
//	SSLRequest             →
//	                       ←          'S' or 'N', one bare byte; after 'S' TLS begins
//	StartupMessage         →
//	                       ←          NegotiateProtocolVersion   (if something is unknown)
//	                       ←          Authentication…
//	AuthResponse           →                                     (as often as it takes)
//	                       ←          AuthenticationOk
//	                       ←          ParameterStatus …, BackendKeyData
//	                       ←          ReadyForQuery
//
// From there each side sends messages with a type byte. The simple protocol:
//
//	Query                  →
//	                       ←          for each statement: RowDescription DataRow… CommandComplete,
//	                                  or EmptyQueryResponse, CopyInResponse, CopyOutResponse;
//	                                  after ErrorResponse the rest of the string is dropped
//	                       ←          ReadyForQuery
//
// The extended protocol, any number of messages before Sync:
//
//	Parse                  →  ←       ParseComplete
//	Bind                   →  ←       BindComplete
//	Describe               →  ←       ParameterDescription (of a statement) and
//	                                  RowDescription or NoData
//	Execute                →  ←       DataRow… and CommandComplete or PortalSuspended
//	Close                  →  ←       CloseComplete
//	Flush                  →          (what there is, is sent)
//	Sync                   →  ←       ReadyForQuery
//
// After an ErrorResponse everything up to Sync is dropped. ErrorResponse with severity
// FATAL, NoticeResponse, ParameterStatus and NotificationResponse may come at any time. A
// COPY is CopyData… and CopyDone or CopyFail; WAL streaming is CopyBothResponse and then
// CopyData in both directions.
//
// # Layouts
//
// Numbers are big-endian; a string ends with a NUL byte; the length counts itself and the
// body, not the type byte. "n × " has a 16-bit unsigned count in front. A value is a 32-bit
// length and that many bytes; length -1 is NULL.
//
//	[length:4][version:4] ([name:string][value:string])… [0]     StartupMessage
//	[length:4][80877102:4][pid:4][key:4…256]                     CancelRequest
//	[length:4][80877103:4]                                       SSLRequest
//	[length:4][80877104:4]                                       GSSENCRequest
//	[type:1][length:4][body:length-4]                            everything else
//
//	type  from  message                   body
//	'1'   B     ParseComplete
//	'2'   B     BindComplete
//	'3'   B     CloseComplete
//	'A'   B     NotificationResponse      pid:4 channel:string payload:string
//	'B'   F     Bind                      portal:string statement:string
//	                                      n × format:2  n × value  n × format:2
//	'C'   F     Close                     kind:1 name:string
//	'C'   B     CommandComplete           tag:string
//	'D'   F     Describe                  kind:1 name:string
//	'D'   B     DataRow                   n × value
//	'E'   F     Execute                   portal:string rows:4
//	'E'   B     ErrorResponse             (field:1 text:string)… 0
//	'F'   F     FunctionCall              oid:4  n × format:2  n × value  format:2
//	'G'   B     CopyInResponse            format:1  n × format:2
//	'H'   F     Flush
//	'H'   B     CopyOutResponse           format:1  n × format:2
//	'I'   B     EmptyQueryResponse
//	'K'   B     BackendKeyData            pid:4 key:4…256
//	'N'   B     NoticeResponse            (field:1 text:string)… 0
//	'P'   F     Parse                     name:string sql:string  n × oid:4
//	'Q'   F     Query                     sql:string
//	'R'   B     Authentication…           code:4 and what the code has
//	'S'   F     Sync
//	'S'   B     ParameterStatus           name:string value:string
//	'T'   B     RowDescription            n × (name:string table:4 column:2 type:4 size:2 mod:4 format:2)
//	'V'   B     FunctionCallResponse      value
//	'W'   B     CopyBothResponse          format:1  n × format:2
//	'X'   F     Terminate
//	'Z'   B     ReadyForQuery             status:1
//	'c'   F B   CopyDone
//	'd'   F B   CopyData                  data
//	'f'   F     CopyFail                  message:string
//	'n'   B     NoData
//	'p'   F     PasswordMessage           password:string
//	            SASLInitialResponse       mechanism:string value
//	            SASLResponse, GSSResponse data
//	's'   B     PortalSuspended
//	't'   B     ParameterDescription      n × oid:4
//	'v'   B     NegotiateProtocolVersion  version:4 count:4 (name:string)…
//
// # Use
//
// Whoever forwards messages takes them as [Frame] from a [Reader] and gives them to a
// [Writer], or looks for their borders with a [Scanner], and decodes only what it has to
// understand. Whoever speaks for itself sends messages with [Writer.Send] and decodes with
// a [FrontendDecoder] or [BackendDecoder], whose values are used again and again.
//
// A decoder sees one message's body and nothing else, and demands that the message uses it
// up; no length or count is believed before as many bytes are there. A message that this
// package writes has the length that it says.
package wire
