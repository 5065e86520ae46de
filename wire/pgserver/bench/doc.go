// Package bench compares pgserver with psql-wire, the other Go library for this job. It is a
// module of its own, so that nobody else depends on what it compares with:
//
//	cd wire/pgserver/bench && go test -bench .
package bench
