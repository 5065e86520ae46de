package pgserver

import "github.com/pgx-dev/pgx-dev/wire"

// A state is where a session's protocol stands after authentication. Before it only the
// exchange that startup.go and authenticate.go go through is possible, and every error ends
// the connection.
type state uint8

const (
	ready    state = iota // between commands: ReadyForQuery was the last thing said
	batch                 // inside a series of extended messages, before Sync
	skipping              // after an error in such a series: everything up to Sync is dropped
	copyIn                // the client is asked for COPY data
	copyBoth              // COPY data flows in both directions
	closed                // nothing is read any more
	states
)

func (s state) String() string {
	return [...]string{"ready", "batch", "skipping", "copy in", "copy both", "closed"}[s]
}

// An action is what is done about a message.
type action uint8

const (
	refuse    action = iota // FATAL 08P01: the two sides do not agree where they are
	serve                   // the message's own work
	ignore                  // nothing; the protocol allows the message here
	skip                    // nothing, because of an earlier error
	copyTake                // COPY data, or its end
	copyAbort               // an error that ends the COPY, and then FATAL: see below
	leave                   // the end of the session
)

// columns is the order of messages in the table.
const columns = "QPBDECHSFXdcfp"

// table is the whole protocol after authentication: what each message means in each state.
// It is SocketBackend, PostgresMain and CopyGetData of PostgreSQL in one view:
//
//   - Stray CopyData, CopyDone and CopyFail are ignored: they were on their way when a COPY
//     failed. Nothing else is ever ignored silently.
//   - After an error in a series of extended messages all but Sync and Terminate is dropped.
//   - Flush and Sync are let pass during COPY FROM STDIN, since a driver may send them without
//     knowing that its command was a COPY. Anything else there loses the session, as PostgreSQL
//     finds protocol synchronization lost.
//   - 'p' belongs to authentication only.
var table = [states]string{
	//         QPBDECHSFXdcfp
	ready:    "QPBDECHSFX---!",
	batch:    "QPBDECHSFX---!",
	skipping: "~~~~~~~S~X~~~!",
	copyIn:   "%%%%%%--%Xddd!",
	copyBoth: "%%%%%%%%%Xddd!",
	closed:   "!!!!!!!!!!!!!!",
}

// actionFor looks a message up. A type that no frontend sends is refused.
func actionFor(s state, t wire.Type) action {
	for i := range len(columns) {
		if columns[i] != byte(t) {
			continue
		}
		switch c := table[s][i]; c {
		case '-':
			return ignore
		case '~':
			return skip
		case '%':
			return copyAbort
		case 'd':
			return copyTake
		case 'X':
			return leave
		case '!':
			return refuse
		default:
			return serve
		}
	}
	return refuse
}
