// Package tap stands between clients and a server, passes their bytes on unchanged and
// tells of every message that goes by.
//
// # Flow
//
//	client ─► startup packets: SSLRequest, GSSENCRequest are declined or passed on,
//	          CancelRequest is passed on, StartupMessage opens the session
//	       ─► bytes ─► messages told to Report ─► the same bytes to the server
//	       ◄─ bytes ◄─ messages told to Report ◄─ bytes from the server
//
// A message is told before its last byte is passed on, so that what is told is in the order
// of cause and effect; a Report that takes its time slows the session down. Bytes that are
// no messages are told once and then passed on all the same.
//
// # Secrets
//
// Passwords, SASL data, cancel keys, and passwords in SQL text are never told. With
// HideValues neither are the values of rows, parameters, COPY data, notifications and
// literals in SQL, nor the parts of error messages that quote them.
package tap
