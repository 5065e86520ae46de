// Package shards puts together what serves a database on several shards: the router with the
// schema of the servers, the executor, and two-phase commit with its log.
package shards
