// Package handover passes the listening sockets of one process on to the one that replaces it,
// so that a program can be started anew without a client that is refused.
//
// # Flow
//
//	the old process serves, and listens on a Unix socket that only its user can reach
//
//	new → old  connects
//	old → new  length:4, JSON (what the sockets are called), and the sockets themselves
//	new → old  'R'    everything else is ready
//	old → new  'A'    accepting is yours; the old process accepts no more, and drains
//	new → old  'C' process id:4 length:1 key     a cancel request for a client of the old one
//	           … until the old process has ended; the new one, when it is itself an old one by
//	           then, stays that long, and passes on what a still newer one sends it
//
// The sockets are the same ones in both: whoever connects meanwhile waits in the kernel's
// queue, which neither closes. A new process that dies before 'A' changes nothing. Of two at
// once one gets the 'A', and the other an error.
package handover
