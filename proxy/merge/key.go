package merge

import (
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// ErrNeedsServer says that a merge cannot be done exactly without a server.
var ErrNeedsServer = errors.New("needs a server to be merged")

// A keyer makes one byte string of some columns of a row, by which rows are compared.
type keyer struct {
	parts []keyPart
	// reach is how many columns of a row must be split to get at all parts; count is how
	// many a row has.
	reach, count int
}

type keyPart struct {
	column     int
	name       string
	encode     sortkey.Encoder
	descending bool
	null, some byte // what stands before a NULL and before a value
}

// orderKeyer returns the keyer of an ORDER BY.
func orderKeyer(keys []gather.Key, fields []wire.Field, set sortkey.Settings) (*keyer, error) {
	k := &keyer{count: len(fields)}
	for _, key := range keys {
		col := key.Column.Index(len(fields))
		if err := inRange(col, key.Column, fields); err != nil {
			return nil, err
		}
		if sortkey.OID(fields[col].TypeOID).Collatable() {
			if err := bytewise(key.Collation, fields[col].Name); err != nil {
				return nil, err
			}
			if set.OtherEncoding {
				return nil, fmt.Errorf("column %q: %w: it comes in another encoding", fields[col].Name, ErrNeedsServer)
			}
		}
		if err := k.add(col, fields, set); err != nil {
			return nil, err
		}
		p := &k.parts[len(k.parts)-1]
		p.descending = key.Descending
		if key.NullsFirst {
			p.null, p.some = 0, 1
		}
	}
	return k, nil
}

// equalKeyer returns the keyer of columns that are only compared for equality.
func equalKeyer(columns []int, fields []wire.Field, set sortkey.Settings) (*keyer, error) {
	k := &keyer{count: len(fields)}
	for _, col := range columns {
		if err := k.add(col, fields, set); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *keyer) add(col int, fields []wire.Field, set sortkey.Settings) error {
	f := fields[col]
	encode, err := sortkey.New(sortkey.OID(f.TypeOID), f.Format, set)
	if err != nil {
		return fmt.Errorf("column %q: %w: %w", f.Name, ErrNeedsServer, err)
	}
	k.parts = append(k.parts, keyPart{column: col, name: f.Name, encode: encode, null: 1, some: 0})
	k.reach = max(k.reach, col+1)
	return nil
}

func bytewise(c gather.Collation, column string) error {
	if c.Known && c.Bytewise && !c.Nondeterministic {
		return nil
	}
	return fmt.Errorf("column %q: %w: its collation does not compare bytes", column, ErrNeedsServer)
}

func inRange(index int, c gather.Column, fields []wire.Field) error {
	if index < 0 {
		return wire.Errorf(wire.CodeInternalError, "merge specification refers to column %d of %d", c, len(fields))
	}
	return nil
}

// append appends the row's key to dst. values holds the first k.reach columns at least.
func (k *keyer) append(dst []byte, values [][]byte) ([]byte, error) {
	for i := range k.parts {
		p := &k.parts[i]
		v := values[p.column]
		if v == nil {
			dst = append(dst, p.null)
			continue
		}
		dst = append(dst, p.some)
		at := len(dst)
		var err error
		if dst, err = p.encode(dst, v); err != nil {
			return dst, wire.Errorf(wire.CodeInvalidTextRepresentation, "read column %q of a shard's row: %w", p.name, err)
		}
		if p.descending {
			sortkey.Invert(dst[at:])
		}
	}
	return dst, nil
}
