package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An LSN is a position in the write-ahead log, in bytes (XLogRecPtr). 0 is none.
type LSN uint64

// ParseLSN parses the two hexadecimal numbers with a slash that PostgreSQL writes.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, herr := strconv.ParseUint(hi, 16, 32)
	l, lerr := strconv.ParseUint(lo, 16, 32)
	if !ok || herr != nil || lerr != nil {
		return 0, Errorf(CodeInvalidTextRepresentation, "invalid input syntax for type pg_lsn: %.40q", s)
	}
	return LSN(h<<32 | l), nil
}

// String returns, for instance, "16/B374D848", as PostgreSQL 18 and older write it.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// A Timestamp is a time as PostgreSQL sends it: microseconds since 2000-01-01 00:00 UTC
// (TimestampTz).
type Timestamp int64

// pgEpoch is 2000-01-01 00:00 UTC in Unix microseconds.
const pgEpoch = 946684800 * 1_000_000

// TimestampOf converts t. The zero time becomes 0.
func TimestampOf(t time.Time) Timestamp {
	if t.IsZero() {
		return 0
	}
	return Timestamp(t.UnixMicro() - pgEpoch)
}

// Time converts ts, in UTC.
func (ts Timestamp) Time() time.Time { return time.UnixMicro(int64(ts) + pgEpoch).UTC() }
