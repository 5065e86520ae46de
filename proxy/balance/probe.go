package balance

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// probeSQL asks a server what it is. pg_walfile_name, whose first eight digits are the
// timeline that is written, is for primaries only (xlogfuncs.c); a standby's own clock says
// how old its last commit is.
const probeSQL = `SELECT pg_is_in_recovery(),
 CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
 CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END,
 CASE WHEN pg_is_in_recovery() THEN coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), -1) ELSE 0 END,
 NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() IS NOT DISTINCT FROM pg_last_wal_replay_lsn()`

// maxProbe bounds a message of the answer, in bytes.
const maxProbe = 1 << 16

// errNotPostgres reports an answer that PostgreSQL does not give.
var errNotPostgres = errors.New("the server did not say what it is")

// Probe asks a server what it is, over a connection that has logged in and is idle. The
// caller sets deadlines. After an error the connection is of no more use.
func Probe(conn net.Conn) (Observation, error) {
	w := wire.NewWriter(conn)
	if err := w.Send(&wire.Query{SQL: probeSQL}); err != nil {
		return Observation{}, err
	}
	if err := w.Flush(); err != nil {
		return Observation{}, fmt.Errorf("ask the server: %w", err)
	}
	var (
		r      = wire.NewReader(conn, wire.Backend, maxProbe)
		o      Observation
		found  bool
		failed error
		row    wire.DataRow
	)
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return Observation{}, fmt.Errorf("read the server's answer: %w", err)
		}
		switch f.Type {
		case wire.TypeDataRow:
			if err := row.Decode(f.Body); err != nil {
				return Observation{}, err
			}
			if o, err = parse(row.Values); err != nil {
				return Observation{}, err
			}
			found = true
		case wire.TypeErrorResponse:
			var m wire.ErrorResponse
			if err := m.Decode(f.Body); err != nil {
				return Observation{}, err
			}
			failed = &m.Error
			if m.Error.Severity == wire.SeverityFatal || m.Error.Severity == wire.SeverityPanic {
				return Observation{}, failed
			}
		case wire.TypeReadyForQuery:
			if failed == nil && !found {
				failed = errNotPostgres
			}
			return o, failed
		case wire.TypeRowDescription, wire.TypeCommandComplete, wire.TypeParameterStatus, wire.TypeNoticeResponse, wire.TypeNotificationResponse:
		default:
			return Observation{}, errNotPostgres
		}
	}
}

// parse reads the row of probeSQL.
func parse(v [][]byte) (o Observation, err error) {
	if len(v) != 5 {
		return o, errNotPostgres
	}
	o.InRecovery = string(v[0]) == "t"
	if s := string(v[1]); s != "" {
		n, err := strconv.ParseUint(s, 16, 32)
		if err != nil {
			return o, errNotPostgres
		}
		o.Timeline = uint32(n)
	}
	if o.LSN, err = wire.ParseLSN(string(v[2])); err != nil {
		return o, errNotPostgres
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(v[3])), 64)
	if err != nil || seconds != seconds {
		return o, errNotPostgres
	}
	// More than a century is none of this world; a commit in the future is by a clock that is
	// a little ahead.
	o.Replayed = time.Duration(min(max(seconds, 0), 3e9) * float64(time.Second))
	if seconds == -1 {
		o.Replayed = -1
	}
	o.Received = string(v[4]) == "t"
	return o, nil
}
