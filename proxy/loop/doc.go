// Package loop drives many network connections from a few threads, without a goroutine or a
// buffer for each.
//
// # Flow
//
//	Group.Adopt(net.Conn, Handler) ─► Conn
//	bytes have come        ─► Handler.Readable, which reads them
//	Conn.Write             never waits: what the peer does not take is kept,
//	it has been taken      ─► Handler.Drained
//	Conn.Pause, Resume     no Readable between them
//	Conn.Close             ─► Handler.Closed, the last call
//
// Handlers are called by the loop's own thread, one at a time for each connection, and must not
// wait for anything. They and whoever else may write, pause, resume and close from any
// goroutine; a descriptor is used under its connection's lock only, so that no byte can go to
// another connection that got its number.
//
// # Why not the runtime's own poller
//
// It costs a goroutine and a stack for each connection, wake-ups between threads, and a second
// read that finds nothing for each that finds something. Here the thread waits in the kernel
// without giving up its processor for a few milliseconds at a time; the runtime interrupts that
// by its signal when it wants the processor. Where nothing happens for a while it is given up.
//
// It works on Linux. Elsewhere New returns ErrUnsupported.
package loop
