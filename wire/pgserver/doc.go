// Package pgserver serves the PostgreSQL protocol, as net/http serves HTTP: give a [Server] a
// [Handler], and psql, pgx, JDBC and the others can connect.
//
//	log.Fatal(pgserver.ListenAndServe("127.0.0.1:5432", pgserver.HandlerFunc(
//		func(w pgserver.ResponseWriter, q *pgserver.Query) error {
//			if err := w.Columns(pgserver.Text("greeting")); err != nil {
//				return err
//			}
//			return w.Row("hello, " + q.Session.User())
//		})))
//
// # Flow
//
//	accept ─ TLS, cancel, version ─ Authenticator ─ SessionStarter ─┐
//	    ┌──────────────────────── ready ◄────────────────────────────┘
//	    │ Query                    for each statement: ServeQuery, rows stream out
//	    │ Parse/Bind/Execute/Sync  Preparer.Prepare, Stmt.Query or ServeQuery; portals suspend
//	    │ FunctionCall             FunctionCaller
//	    └──────────────────────► ReadyForQuery, with parameters and notifications before it
//
// What a message means in which state is one table: see state.go.
//
// # Handlers
//
// A Handler has one method. What else it can do is found out by type assertion: [Preparer],
// [TxStater], [SessionStarter], [SessionEnder], [Syncer], [FunctionCaller]. [Middleware] wraps
// handlers: [Settings] answers SET and SHOW, [Notifications] LISTEN and NOTIFY, [Cursors]
// DECLARE and FETCH. [DB] serves any database/sql driver.
//
// The library knows no SQL beyond what those names say and where a statement ends.
//
// # Safety
//
// Whatever goes wrong before AuthenticationOk ends the connection: the state decides, not the
// severity of an error. Memory before it is bounded by the packet limits of package wire, and
// time by StartupTimeout. Afterwards MaxMessage, MaxStatements and MaxPortals hold. Rows are
// sent in blocks of 64 KiB; a client that does not read stops the handler in Row, for
// WriteTimeout at most.
package pgserver
