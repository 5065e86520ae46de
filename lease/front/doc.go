// Package front gives a database to whoever only knows a URL: it listens as a PostgreSQL
// server would, and gives each client process a leased database of its own.
//
// On a unix socket a client is its process, by SO_PEERCRED, and asks for the database
// "lease". A client, there and over TCP, can also ask for "lease.LABEL"; then everybody
// with that label shares one database. The lease begins with the first connection, and ends
// when there has been none for the grace period.
//
// Unix sockets are private to the user. TCP is served on loopback addresses only, and asks
// for a generated password by SCRAM-SHA-256. Behind that the pool's own role is used,
// whatever name the client gave.
package front
