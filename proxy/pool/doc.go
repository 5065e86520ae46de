// Package pool keeps connections to PostgreSQL servers and lends them out.
//
// A Backend says where a server is and who logs in there, a Conn is one connection that has
// logged in, a Pool has some of them and gives them to those who wait, first come, first
// served.
//
// # Flow
//
//	Pool.Get ─ idle one, or dial ─ TLS ─ startup ─ authentication ─► Conn
//	Conn.Attach(sink)   the connection's goroutine gives the sink every byte that comes
//	Conn.Write          whoever has it sends whole messages
//	Conn.Release        the last one who holds it gives it back, or it is closed
//
// A connection has one goroutine, which reads; between two users it watches that the server
// says nothing but what it may at any time.
package pool
