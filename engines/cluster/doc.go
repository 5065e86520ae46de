// Package cluster lets any number of processes share one server: the first user starts
// it, the last one stops or destroys it, however each of them ends.
//
// # How it works
//
// The server is owned by a supervisor: a detached process of its own that runs
// [Manager.Supervise]. Every user holds a connection to it, which the kernel closes when
// the user ends, even by kill -9; so the supervisor knows who uses the server, and stops
// it when the last one has gone. The supervisor dies with its server and the server with
// its supervisor; the users learn of it by the end of their connections, and the next user
// starts both again.
//
// A data directory DIR has a control directory beside it (place.Control) with two lock
// files, which flock(2) guards and which are never converted and never polled:
//
//	trans.lock       exclusive, by whoever changes the cluster's state (start and attach,
//	                 stop, destroy), for as long as the change takes
//	supervisor.lock  exclusive, by the supervisor for its life; others take it shared
//	                 for an instant to ask whether there is one, or to wait for its end
//
// A user attaches while it holds trans.lock, and the supervisor stops the server only
// while it holds trans.lock and has no users: so nobody attaches to a server that is about
// to stop. A supervisor whose starter dies before the server is ready gives up.
//
// # Files
//
//	run.json     what runs now: written when the server is ready, removed before it stops
//	record.json  what is to be remembered: name, port, SQL files that were run
//	pgpass       the generated password, where there is a TCP listener
//	supervisor.log, postmaster.log
//
// # Control socket
//
// A unix socket in the run directory (place.Run), one JSON object and a newline each way:
//
//	{"cmd":"attach","user":{"pid":…,"label":"…"}}
//	                     -> {"ok":true}; the connection is a user until it ends, and gets
//	                        {"ended":{"why":"…"}} when the server does
//	{"cmd":"release"}    -> on an attached connection: {"ok":true}, once the server has
//	                        stopped if that was its last user
//	{"cmd":"status"}     -> {"ok":true,"pinned":…,"users":[…]}
//	{"cmd":"pin"}        -> {"ok":true}; stay without users
//	{"cmd":"unpin"}      -> {"ok":true}; be an ordinary one again
//	{"cmd":"claim","pin":…} -> {"ok":true}; a temporary cluster's first user took it, and
//	                        the next spare may be made
//	{"cmd":"stop","why":"…"} -> {"ok":true} once stopped, whoever uses it; the caller
//	                        holds trans.lock
package cluster
