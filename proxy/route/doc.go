// Package route decides where an SQL statement goes: SQL text and session state in, a plan
// out. It does no I/O.
//
// # Flow
//
//	text ── cache by text ── cache by key (literals left out) ── parse ── analyse
//	                    └──────────┬──────────┘                              │
//	                              Plan ◄─────────────────────────────────────┘
//	Plan + literals + parameters ── Decision: shards, role, SQL for each, how to merge
//
// A [Router] keeps plans in a bounded cache under a key without literals (package lex), so
// that a statement's shape is parsed once; [Router.Route] then fills a [Decision] from the
// literals and parameters at hand. The parser is multigres'; since its trees have no
// positions, it is given a text whose names and literals are the numbers of the client's own
// tokens (see parse.go), and what is sent is always the client's text, with tokens left out
// or put in, never a deparsed tree.
//
// What cannot be answered exactly as one PostgreSQL would is refused with SQLSTATE 0A000, a
// reason and a hint. Package gather describes how answers are merged, package sharding where
// rows are, package schema what is known of the catalogs.
package route
