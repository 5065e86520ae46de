// Package numeric computes with PostgreSQL's numeric: exactly, at any size, and with the
// display scales that the server would have chosen, so that a result prints the same there
// and here.
//
// The rules are those of src/backend/utils/adt/numeric.c.
package numeric

import (
	"errors"
	"math/big"
)

// Limits of a numeric (NUMERIC_WEIGHT_MAX and NUMERIC_DSCALE_MAX in numeric.c).
const (
	// MaxWhole is the greatest number of decimal digits before the point.
	MaxWhole = 131072
	// MaxScale is the greatest number of decimal digits after the point.
	MaxScale = 16383
)

// minSignificant and maxDisplay are NUMERIC_MIN_SIG_DIGITS and NUMERIC_MAX_DISPLAY_SCALE.
const (
	minSignificant = 16
	maxDisplay     = 1000
	groupDigits    = 4 // DEC_DIGITS: the server computes in base 10,000
)

// Errors of arithmetic. The server's SQLSTATE for them is 22003, 22012 and 2201F.
var (
	ErrOverflow       = errors.New("value overflows numeric format")
	ErrDivisionByZero = errors.New("division by zero")
	ErrNegativeRoot   = errors.New("cannot take square root of a negative number")
)

// A class says what kind of value a Numeric is.
type class uint8

const (
	finite class = iota
	plusInfinity
	minusInfinity
	nan
)

// A Numeric is a value of type numeric: a decimal number with a display scale, NaN or an
// infinity. The zero value is 0. Numerics never change and may be shared and copied.
type Numeric struct {
	class class
	// unscaled is the value times 10^scale; nil is 0.
	unscaled *big.Int
	scale    int
}

// NaN returns NaN.
func NaN() Numeric { return Numeric{class: nan} }

// Infinity returns Infinity, or -Infinity if negative.
func Infinity(negative bool) Numeric {
	if negative {
		return Numeric{class: minusInfinity}
	}
	return Numeric{class: plusInfinity}
}

// FromInt returns n with scale 0.
func FromInt(n int64) Numeric { return Numeric{unscaled: big.NewInt(n)} }

// FromBig returns n with scale 0. The caller must not change n afterwards.
func FromBig(n *big.Int) Numeric { return Numeric{unscaled: n} }

// IsNaN reports whether n is NaN.
func (n Numeric) IsNaN() bool { return n.class == nan }

// IsFinite reports whether n is neither NaN nor an infinity.
func (n Numeric) IsFinite() bool { return n.class == finite }

// Scale returns the display scale: the digits after the point that text shows.
func (n Numeric) Scale() int { return n.scale }

// Sign returns -1, 0 or 1; 0 for NaN.
func (n Numeric) Sign() int {
	switch n.class {
	case plusInfinity:
		return 1
	case minusInfinity:
		return -1
	case nan:
		return 0
	}
	return n.int().Sign()
}

func (n Numeric) int() *big.Int {
	if n.unscaled == nil {
		return new(big.Int)
	}
	return n.unscaled
}

// at returns n times 10^scale, for a scale that is not below n's own.
func (n Numeric) at(scale int) *big.Int {
	if scale == n.scale {
		return n.int()
	}
	return new(big.Int).Mul(n.int(), pow10(scale-n.scale))
}

// Cmp returns -1, 0 or 1. NaN equals NaN and is above everything else (cmp_numerics).
func (n Numeric) Cmp(m Numeric) int {
	if n.class != finite || m.class != finite {
		return rank(n.class) - rank(m.class)
	}
	scale := max(n.scale, m.scale)
	return n.at(scale).Cmp(m.at(scale))
}

func rank(c class) int {
	switch c {
	case minusInfinity:
		return -1
	case plusInfinity:
		return 1
	case nan:
		return 2
	}
	return 0
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// fits returns n, or ErrOverflow if the server could not store it (make_result).
func (n Numeric) fits() (Numeric, error) {
	// A decimal digit is more than 3.3 bits: most values need no counting of digits.
	if n.class == finite && n.int().BitLen() > MaxWhole*3 && len(n.int().Text(10))-n.scale > MaxWhole &&
		n.int().Sign() != 0 {
		return Numeric{}, ErrOverflow
	}
	return n, nil
}
