package merge

import (
	"math/big"

	"github.com/pgx-dev/pgx-dev/proxy/merge/numeric"
	"github.com/pgx-dev/pgx-dev/wire"
)

// average divides a sum of sums by a sum of counts.
type average struct {
	sum                 state
	count               int64
	format, countFormat wire.Format
}

func (a *average) add(v, count []byte) error {
	n, err := readInt(count, a.countFormat)
	if err != nil {
		return err
	}
	a.count += n
	return a.sum.add(v, nil)
}

func (a *average) append(dst []byte) ([]byte, error) {
	if a.count == 0 {
		return nil, nil
	}
	switch s := a.sum.(type) {
	case *bigints:
		return a.divide(dst, numeric.FromBig(new(big.Int).Set(s.big())))
	case *numerics:
		return a.divide(dst, s.value)
	case *floats:
		return appendFloat(dst, s.value/float64(a.count), a.format, s.size()), nil
	case *spans:
		r, err := divideSpan(s.value, float64(a.count))
		if err != nil {
			return nil, err
		}
		return appendSpan(dst, r, a.format), nil
	}
	return nil, wire.Errorf(wire.CodeInternalError, "no average for sums of %T", a.sum)
}

func (a *average) divide(dst []byte, sum numeric.Numeric) ([]byte, error) {
	q, err := sum.Div(numeric.FromInt(a.count))
	if err != nil {
		return nil, arithmetic(err)
	}
	return appendNumeric(dst, q, a.format), nil
}
