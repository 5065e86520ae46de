// Package lease lends databases to test processes, one holder each at a time.
//
// A [Pool] lends what a [Source] makes: plain names, databases that are created ahead of
// demand and cleaned after use (package databases), or whole servers (package servers). A
// [Server] offers pools on unix sockets. The connection is the lease: when it ends, by
// whatever cause, the database comes back. A copy of its descriptor in another process
// keeps it open; shutdown(2) ends it in spite of that.
//
// # Lease socket
//
// One socket per pool, a stream. The server speaks first, and as pgmanager does:
//
//	client connects             it is queued, first come first served; it need send nothing
//	server: 4f 4b 3a NAME       "OK:" and the name, 1 to 63 bytes, in one write, without a
//	                            newline or a NUL; when one is free, and it is this one's turn
//	server: 45 4d 50 54 59 3a   "EMPTY:" and a reason, then the end: there will be none. Only
//	        REASON              when the template cannot be built, when the time to wait is
//	                            over, or when the server ends
//	client ends the connection  by close, shutdown(SHUT_WR), a reset or its death: the lease
//	                            ends, before or after the grant, whether that was read or not
//
// A client that sends nothing is all there is to pgmanager's protocol. A client that does
// send talks lines, each ended by "\n" (a "\r" before it is passed over), at any time; they
// are answered after the grant, in order. The answers:
//
//	"OK:" TEXT "\n"             it worked
//	"OK:" N "\n", N lines       the same with several lines, each ended by "\n"
//	"ERR:" TEXT "\n"            it did not; the lease goes on
//	"\n"                        the answer to an empty line
//
// So a client whose first byte is "\n" can read everything, the grant too, line by line:
// it sends "\nurl\n" and reads "OK:NAME\n" and "OK:postgresql://…\n". The requests:
//
//	name             the name again
//	url              a connection URL; an error where the pool has names only
//	env              N lines NAME=VALUE: PGHOST, PGDATABASE, DATABASE_URL and so on
//	id               the lease's id, as status and kick have it
//	label TEXT       what status shows beside the holder's pid
//	ttl TIME         end the lease after TIME (90s, 5m) from now; 0 is never
//	reset            make the database as new, now; every session in it ends
//	clean            "I have changed nothing": where that proves true after the lease, the
//	                 database is lent again as it is
//	keep [REASON]    do not clean or drop the database after the lease
//	ping             "OK:pong"
//	release          end the lease; on the lease socket the connection ends too
//
// A line of more than [MaxLine] bytes ends the connection with an error; what is not known
// gets one and changes nothing.
//
// # Control socket
//
// Beside each lease socket PATH is PATH.ctl, where the client speaks first. It takes the
// lines above, without a lease only those that need none, and these:
//
//	acquire [KEY=VALUE…]    wait for a database; answered by "OK:" NAME "\n", in its turn.
//	                        pool=NAME   of another pool of the same server
//	                        label=TEXT ttl=TIME
//	                        wait=TIME   give up after so long; wait=0s does not wait
//	status                  N lines of JSON: the [Status] on one line
//	kick ID                 end another's lease
//	drain                   lend nothing more; end when the last lease has ended
//
// A value with blanks is written as a JSON string: label="a b". A connection has at most
// one lease at a time.
//
// # Who may connect
//
// Sockets have mode 0600, and the peer's uid must be the server's or 0. PATH.lock is locked
// by the server for its life; its holder alone may replace a socket that a killed server
// left.
package lease
