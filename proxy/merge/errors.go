package merge

import (
	"errors"

	"github.com/pgx-dev/pgx-dev/proxy/merge/numeric"
	"github.com/pgx-dev/pgx-dev/wire"
)

// SQLSTATEs of arithmetic that wire has no name for.
const (
	codeDivisionByZero   wire.Code = "22012"
	codeDatetimeOverflow wire.Code = "22008"
	codeBitLength        wire.Code = "22026"
)

// unsorted says that a shard's rows are not in the order that they should be in: by a
// different rule for sorting, such as another version of a collation.
func unsorted(stream int) error {
	err := wire.Errorf(wire.CodeInternalError, "the rows of shard %d do not come in the order of the query", stream)
	err.Hint = "The shards may sort by different rules: compare their versions and their databases' collations."
	return err
}

// A budget is the memory that may still be taken.
type budget struct {
	left, limit int
}

func (b *budget) take(n int) error {
	if b.left -= n; b.left >= 0 {
		return nil
	}
	err := wire.Errorf(wire.CodeProgramLimitExceeded, "merging the shards' rows takes more than %d bytes of memory", b.limit)
	err.Hint = "Narrow the query by a WHERE clause or group by fewer values, or raise the proxy's memory limit for merging."
	return err
}

// arithmetic gives an error of numeric its SQLSTATE.
func arithmetic(err error) error {
	switch {
	case errors.Is(err, numeric.ErrDivisionByZero):
		return wire.Errorf(codeDivisionByZero, "%w", err)
	case errors.Is(err, numeric.ErrOverflow):
		return wire.Errorf(wire.CodeNumericValueOutOfRange, "%w", err)
	case err != nil:
		return wire.Errorf(wire.CodeInvalidTextRepresentation, "read a shard's partial aggregate: %w", err)
	}
	return nil
}
