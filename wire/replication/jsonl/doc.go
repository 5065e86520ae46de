// Package jsonl writes the changes of a subscription as lines of JSON, and finds in a file
// of such lines where to go on.
//
//	{"kind":"begin","xid":733,"lsn":"0/1554F80","time":"2024-02-29T12:00:00.000001Z"}
//	{"kind":"insert","xid":733,"lsn":"0/1554D00","schema":"public","table":"t","new":{"id":1,"name":"x"}}
//	{"kind":"update","xid":733,"lsn":…,"schema":…,"table":…,"key":{"id":1},"new":{"id":2},"unchanged":["big"]}
//	{"kind":"delete","xid":733,"lsn":…,"schema":…,"table":…,"key":{"id":2}}
//	{"kind":"truncate","xid":733,"lsn":…,"tables":["public.t"],"cascade":false,"restart_identity":true}
//	{"kind":"message","lsn":…,"prefix":"app","content":"hello","transactional":false}
//	{"kind":"commit","xid":733,"lsn":"0/1554F80","end":"0/1554FB0","time":…}
//
// "key" is the row's replica identity before the change, "old" the whole row where the
// table's replica identity is FULL. Columns in "unchanged" are large values that the change
// left alone and that the server does not send.
//
// A copy of the tables at a slot's beginning comes as lines of kind "row", and one of kind
// "copied" behind them that has the position in "end".
//
// Values are JSON's where the type has an equivalent: booleans, integers and finite
// floating-point numbers, json and jsonb. All others, numeric among them, are strings in
// PostgreSQL's text format, so that nothing is rounded.
package jsonl
