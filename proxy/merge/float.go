package merge

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// appendFloat appends x as a float4 or float8 (size 32 or 64), in text as the server prints
// it with extra_float_digits 1 (float8out; src/common/d2s.c, f2s.c).
func appendFloat(dst []byte, x float64, f wire.Format, size int) []byte {
	switch {
	case f == wire.Binary && size == 32:
		return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(x)))
	case f == wire.Binary:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(x))
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	}
	s := shortest(x, size)
	mantissa, exp, _ := strings.Cut(s, "e")
	exponent, _ := strconv.Atoi(exp)
	// Scientific notation begins where %g with the type's precision would begin it.
	limit := 15
	if size == 32 {
		limit = 6
	}
	if exponent < -4 || exponent >= limit {
		return append(dst, s...)
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	if negative {
		dst = append(dst, '-')
	}
	digits := strings.Replace(mantissa, ".", "", 1)
	switch {
	case exponent < 0:
		dst = append(dst, "0."+strings.Repeat("0", -exponent-1)...)
		return append(dst, digits...)
	case len(digits) <= exponent+1:
		dst = append(dst, digits...)
		return append(dst, strings.Repeat("0", exponent+1-len(digits))...)
	}
	dst = append(dst, digits[:exponent+1]...)
	dst = append(dst, '.')
	return append(dst, digits[exponent+1:]...)
}

// shortest returns the shortest decimal in scientific notation that lies strictly nearer to
// x than to any other float. Go would also take one that lies just in the middle and is
// rounded to x; the server does not.
func shortest(x float64, size int) string {
	for precision := -1; ; {
		s := strconv.FormatFloat(x, 'e', precision, size)
		if !halfway(s, x, size) {
			return s
		}
		mantissa, _, _ := strings.Cut(strings.TrimPrefix(s, "-"), "e")
		precision = max(len(mantissa)-1, 1) // one digit more than there are after the point
		if !strings.Contains(mantissa, ".") {
			precision = 1
		}
	}
}

// halfway reports whether s, which is read as x, lies exactly between two floats.
func halfway(s string, x float64, size int) bool {
	// Only integers of more bits than a mantissa can; with few enough digits, only these.
	if a := math.Abs(x); a < 1<<22 || a > 1e60 {
		return false
	}
	exact, ok := new(big.Float).SetPrec(300).SetString(s)
	if !ok {
		return false
	}
	below, above := math.Nextafter(x, math.Inf(-1)), math.Nextafter(x, math.Inf(1))
	if size == 32 {
		below = float64(math.Nextafter32(float32(x), float32(math.Inf(-1))))
		above = float64(math.Nextafter32(float32(x), float32(math.Inf(1))))
	}
	for _, neighbour := range []float64{below, above} {
		if math.IsInf(neighbour, 0) {
			continue
		}
		middle := new(big.Float).SetPrec(300).SetFloat64(x)
		middle.Add(middle, big.NewFloat(neighbour)).Quo(middle, big.NewFloat(2))
		if exact.Cmp(middle) == 0 {
			return true
		}
	}
	return false
}
