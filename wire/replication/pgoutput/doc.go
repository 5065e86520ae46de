// Package pgoutput is the format in which PostgreSQL streams the changes of a database,
// versions 1 to 4: what the output plugin pgoutput writes into XLogData.
//
// # Versions
//
// Version 1 (PostgreSQL 10) sends transactions when they have committed: Begin, changes,
// Commit. Version 2 (14) may send the changes of a large transaction while it runs, in
// segments between StreamStart and StreamStop, with changes of other transactions between
// the segments; StreamCommit or StreamAbort says what became of it. Version 3 (15) tells of
// transactions that are prepared for two-phase commit. Version 4 (16) has more in
// StreamAbort, for subscribers that apply segments in parallel.
//
// A Relation comes before the first change of a table and again after it was altered; a
// Type before the Relation that first uses a type that is not built in.
//
// # Layouts
//
// Numbers are big-endian, strings end with a NUL byte, LSNs and times have 8 bytes. Inside
// a segment the messages marked * have the transaction's xid:4 before everything else.
//
//	'B'  Begin             final:lsn time xid:4
//	'M'  LogicalMessage *  flags:1 lsn prefix:string n:4 content
//	'C'  Commit            flags:1 commit:lsn end:lsn time
//	'O'  Origin            commit:lsn name:string
//	'R'  Relation *        oid:4 schema:string name:string identity:1 n:2 × (flags:1 name:string type:4 mod:4)
//	'Y'  Type *            oid:4 schema:string name:string
//	'I'  Insert *          relation:4 'N' tuple
//	'U'  Update *          relation:4 ['K' tuple | 'O' tuple] 'N' tuple
//	'D'  Delete *          relation:4 'K' tuple | 'O' tuple
//	'T'  Truncate *        n:4 flags:1 n × relation:4
//	'S'  StreamStart       xid:4 first:1
//	'E'  StreamStop
//	'c'  StreamCommit      xid:4 flags:1 commit:lsn end:lsn time
//	'A'  StreamAbort       xid:4 subxid:4 [lsn time]
//	'b'  BeginPrepare      prepare:lsn end:lsn time xid:4 gid:string
//	'P'  Prepare           flags:1 prepare:lsn end:lsn time xid:4 gid:string
//	'K'  CommitPrepared    flags:1 commit:lsn end:lsn time xid:4 gid:string
//	'r'  RollbackPrepared  flags:1 prepare end:lsn rollback end:lsn prepare time, rollback time, xid:4 gid:string
//	'p'  StreamPrepare     as Prepare
//	tuple                  n:2 × ('n' | 'u' | 't' length:4 text | 'b' length:4 binary)
package pgoutput
