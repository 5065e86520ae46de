package merge

import (
	"bytes"
	"fmt"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// newState returns a constructor for the aggregate that combines partials described by f.
// count is the format of an average's count.
func newState(how gather.Combine, f wire.Field, count wire.Format, set sortkey.Settings) (func() state, error) {
	t := sortkey.OID(f.TypeOID)
	refuse := func() (func() state, error) {
		return nil, fmt.Errorf("%w: partial aggregates of type %d cannot be combined outside of it", ErrNeedsServer, t)
	}
	switch how {
	case gather.Same:
		return func() state { return new(same) }, nil
	case gather.Count:
		if t == sortkey.Int8 {
			return func() state { return &bigints{format: f.Format, some: true} }, nil
		}
	case gather.Sum:
		if s := newSum(t, f.Format, set); s != nil {
			return s, nil
		}
	case gather.Avg:
		sum := newSum(t, f.Format, set)
		switch t {
		case sortkey.Int8, sortkey.Numeric, sortkey.Float8, sortkey.Interval:
			if sum != nil {
				return func() state { return &average{sum: sum(), format: f.Format, countFormat: count} }, nil
			}
		}
	case gather.Min, gather.Max:
		if t.Collatable() {
			return nil, fmt.Errorf("%w: the specification does not tell the collation of a minimum or maximum", ErrNeedsServer)
		}
		encode, err := sortkey.New(t, f.Format, set)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNeedsServer, err)
		}
		sign := 1
		if how == gather.Max {
			sign = -1
		}
		return func() state { return &extreme{encode: encode, sign: sign} }, nil
	case gather.BoolAnd, gather.BoolOr:
		if t == sortkey.Bool {
			return func() state { return &boolean{or: how == gather.BoolOr} }, nil
		}
	case gather.BitAnd, gather.BitOr, gather.BitXor:
		switch t {
		case sortkey.Int2, sortkey.Int4, sortkey.Int8:
			return func() state { return &intBits{how: how, format: f.Format, size: int(f.TypeSize)} }, nil
		case sortkey.Bit, sortkey.Varbit:
			return func() state { return &bitString{how: how, format: f.Format} }, nil
		}
	default:
		return nil, wire.Errorf(wire.CodeInternalError, "merge specification has an unknown combination %d", how)
	}
	return refuse()
}

// A keeper keeps copies of values, whose memory counts.
type keeper interface {
	// keeps returns how many bytes more adding the value could take.
	keeps(value []byte) int
}

// kept is a copy of a value that may be empty.
type kept struct {
	value []byte
	some  bool
}

func (k *kept) keep(v []byte) { k.value, k.some = append(k.value[:0], v...), true }

func (k *kept) keeps(v []byte) int { return max(0, len(v)-cap(k.value)) }

func (k *kept) append(dst []byte) ([]byte, error) {
	if !k.some {
		return nil, nil
	}
	return notNil(append(dst, k.value...)), nil
}

// notNil keeps an empty value from being taken for NULL.
func notNil(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

// same keeps a group key's first value.
type same struct{ kept }

func (s *same) add(v, _ []byte) error {
	if !s.some {
		s.keep(v)
	}
	return nil
}

// extreme keeps the least value, or the greatest if sign is -1; of equal ones the last, as
// numeric_smaller and its like do.
type extreme struct {
	kept
	encode   sortkey.Encoder
	sign     int
	best, of []byte
}

func (e *extreme) keeps(v []byte) int { return 3 * e.kept.keeps(v) }

func (e *extreme) add(v, _ []byte) error {
	var err error
	if e.of, err = e.encode(e.of[:0], v); err != nil {
		return wire.Errorf(wire.CodeInvalidTextRepresentation, "read a shard's partial aggregate: %w", err)
	}
	if e.some && e.sign*bytes.Compare(e.of, e.best) > 0 {
		return nil
	}
	e.best, e.of = e.of, e.best
	e.keep(v)
	return nil
}

// boolean is bool_and or bool_or, in either format: t and f, or 1 and 0.
type boolean struct {
	kept
	or bool
}

func (b *boolean) add(v, _ []byte) error {
	if len(v) != 1 {
		return badPartial("bool", v)
	}
	if yes := v[0] == 't' || v[0] == 1; !b.some || yes == b.or {
		b.keep(v)
	}
	return nil
}

func badPartial(what string, v []byte) error {
	return wire.Errorf(wire.CodeProtocolViolation, "malformed %s value %.40q in a shard's row", what, v)
}
