package merge

import (
	"context"
	"io"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Stream is the rows that one shard returns.
type Stream interface {
	// Next returns the body of the next DataRow, which the merger may change and which
	// stays valid until the next call; after the last row io.EOF. Any other error ends
	// the whole merge with it.
	Next(ctx context.Context) ([]byte, error)
	// Stop says that no more rows are wanted: the limit is reached (cause is nil), or the
	// merge failed. It is called once, unless Next has returned an error before.
	Stop(cause error)
}

// Agree returns the description of the rows that all shards return, or an error if they
// differ in what matters: number, types and formats of columns. Custom types must have been
// given the same OIDs before. It keeps the first shard's names and tables; where type
// modifiers differ there is none.
func Agree(shards ...[]wire.Field) ([]wire.Field, error) {
	if len(shards) == 0 {
		return nil, nil
	}
	fields := append([]wire.Field(nil), shards[0]...)
	for i, other := range shards[1:] {
		if len(other) != len(fields) {
			return nil, disagree("shard %d returns %d columns, the first one %d", i+1, len(other), len(fields))
		}
		for c := range fields {
			f, o := &fields[c], other[c]
			switch {
			case f.TypeOID != o.TypeOID:
				return nil, disagree("column %q has type %d on shard %d, %d on the first one", f.Name, o.TypeOID, i+1, f.TypeOID)
			case f.Format != o.Format:
				return nil, disagree("column %q has format %d on shard %d, %d on the first one", f.Name, o.Format, i+1, f.Format)
			case f.TypeMod != o.TypeMod:
				f.TypeMod = -1
			}
		}
	}
	return fields, nil
}

func disagree(format string, args ...any) error {
	err := wire.Errorf(wire.CodeDatatypeMismatch, "the shards disagree about the result")
	err.Detail = wire.Errorf("", format, args...).Message
	err.Hint = "Compare the definitions of the tables on all shards; \"pgx-dev proxy\" sends DDL to each of them."
	return err
}

// heads are the streams and the row that each of them stands at.
type heads struct {
	streams []Stream
	ended   []bool
}

// next returns the next row of stream i, or nil if it has ended.
func (h *heads) next(ctx context.Context, i int) ([]byte, error) {
	if h.ended[i] {
		return nil, nil
	}
	body, err := h.streams[i].Next(ctx)
	if err != nil {
		h.ended[i] = true
		if err == io.EOF { //nolint:errorlint // an error that wraps it is the end of a connection, and not of the rows
			return nil, nil
		}
		return nil, err
	}
	if len(body) < 2 {
		return nil, badRow()
	}
	return body, nil
}

// stop stops all streams that have not ended.
func (h *heads) stop(cause error) {
	for i, s := range h.streams {
		if !h.ended[i] {
			h.ended[i] = true
			s.Stop(cause)
		}
	}
}
