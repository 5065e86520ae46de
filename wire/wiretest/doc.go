// Package wiretest helps to test programs that speak the PostgreSQL protocol, as
// net/http/httptest does for HTTP: a [Server] with a URL, a scripted peer of either side
// ([Script]), and what a fuzz test needs to throw bytes at a server ([Bombard]).
package wiretest
