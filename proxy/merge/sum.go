package merge

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"

	"github.com/pgx-dev/pgx-dev/proxy/merge/numeric"
	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// newSum returns a constructor of sums of partials of type t, or nil if there is none.
func newSum(t sortkey.OID, f wire.Format, set sortkey.Settings) func() state {
	lossy := f == wire.Text && set.LossyFloats
	styled := f == wire.Text && set.IntervalStyle != "" && set.IntervalStyle != "postgres"
	switch {
	case t == sortkey.Int8:
		return func() state { return &bigints{format: f} }
	case t == sortkey.Numeric:
		return func() state { return &numerics{format: f} }
	case (t == sortkey.Float4 || t == sortkey.Float8) && !lossy:
		return func() state { return &floats{format: f, single: t == sortkey.Float4} }
	case t == sortkey.Interval && !styled:
		return func() state { return &spans{format: f} }
	}
	return nil
}

// bigints adds bigints, exactly; only the result must be a bigint. It is a count if some is
// set from the start: 0 instead of NULL.
type bigints struct {
	format wire.Format
	value  int64
	wide   *big.Int // instead of value, once that would overflow
	some   bool
}

func (s *bigints) add(v, _ []byte) error {
	n, err := readInt(v, s.format)
	if err != nil {
		return err
	}
	s.some = true
	sum := s.value + n
	if s.wide == nil && (sum > s.value) == (n > 0) {
		s.value = sum
		return nil
	}
	s.wide = s.big()
	s.wide.Add(s.wide, big.NewInt(n))
	return nil
}

func (s *bigints) big() *big.Int {
	if s.wide != nil {
		return s.wide
	}
	return big.NewInt(s.value)
}

func (s *bigints) append(dst []byte) ([]byte, error) {
	if !s.some {
		return nil, nil
	}
	if s.wide != nil {
		if !s.wide.IsInt64() {
			return nil, wire.Errorf(wire.CodeNumericValueOutOfRange, "bigint out of range")
		}
		s.value, s.wide = s.wide.Int64(), nil
	}
	return appendIntValue(dst, s.value, s.format, 8), nil
}

// numerics adds numerics.
type numerics struct {
	format wire.Format
	value  numeric.Numeric
	some   bool
}

func readNumeric(v []byte, f wire.Format) (numeric.Numeric, error) {
	if f == wire.Binary {
		return numeric.ParseBinary(v)
	}
	return numeric.Parse(v)
}

func appendNumeric(dst []byte, n numeric.Numeric, f wire.Format) []byte {
	if f == wire.Binary {
		return n.AppendBinary(dst)
	}
	return n.AppendText(dst)
}

func (s *numerics) add(v, _ []byte) error {
	n, err := readNumeric(v, s.format)
	if err == nil {
		s.value, err = s.value.Add(n)
	}
	s.some = true
	return arithmetic(err)
}

func (s *numerics) append(dst []byte) ([]byte, error) {
	if !s.some {
		return nil, nil
	}
	return appendNumeric(dst, s.value, s.format), nil
}

// floats adds float8s, or float4s with the server's rounding after each addition.
type floats struct {
	format wire.Format
	single bool
	value  float64
	some   bool
}

func (s *floats) size() int {
	if s.single {
		return 32
	}
	return 64
}

func readFloat(v []byte, f wire.Format, size int) (float64, error) {
	if f == wire.Binary {
		switch {
		case len(v) == 4 && size == 32:
			return float64(math.Float32frombits(binary.BigEndian.Uint32(v))), nil
		case len(v) == 8 && size == 64:
			return math.Float64frombits(binary.BigEndian.Uint64(v)), nil
		}
	} else if x, err := strconv.ParseFloat(string(v), size); err == nil {
		return x, nil
	}
	return 0, badPartial("float", v)
}

func (s *floats) add(v, _ []byte) error {
	x, err := readFloat(v, s.format, s.size())
	if err != nil {
		return err
	}
	if !s.some {
		s.value, s.some = x, true // not 0 + x, which would lose the sign of -0
		return nil
	}
	sum := s.value + x
	if s.single {
		sum = float64(float32(sum))
	}
	if math.IsInf(sum, 0) && !math.IsInf(s.value, 0) && !math.IsInf(x, 0) {
		return wire.Errorf(wire.CodeNumericValueOutOfRange, "value out of range: overflow")
	}
	s.value = sum
	return nil
}

func (s *floats) append(dst []byte) ([]byte, error) {
	if !s.some {
		return nil, nil
	}
	return appendFloat(dst, s.value, s.format, s.size()), nil
}
