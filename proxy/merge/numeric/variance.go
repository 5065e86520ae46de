package numeric

import "math/big"

// Moments are what variances are computed of: how many numbers there are, their sum and
// the sum of their squares. Those of parts add up to those of the whole, exactly.
type Moments struct {
	Count        int64
	Sum, Squares Numeric
}

// Add returns the moments of both together.
func (m Moments) Add(o Moments) (Moments, error) {
	sum, err := m.Sum.Add(o.Sum)
	if err != nil {
		return m, err
	}
	squares, err := m.Squares.Add(o.Squares)
	return Moments{m.Count + o.Count, sum, squares}, err
}

// Variance returns var_samp, or var_pop if not sample; ok is false if that is NULL: of no
// numbers, or of one in a sample (numeric_stddev_internal).
func (m Moments) Variance(sample bool) (v Numeric, ok bool, err error) {
	v, _, ok, err = m.variance(sample)
	return v, ok, err
}

// Deviation returns stddev_samp, or stddev_pop if not sample.
func (m Moments) Deviation(sample bool) (v Numeric, ok bool, err error) {
	v, zero, ok, err := m.variance(sample)
	if err != nil || !ok || zero || !v.IsFinite() {
		return v, ok, err
	}
	// The server takes the root with the scale of the quotient, not with that of sqrt.
	return v.root(v.scale), true, nil
}

func (m Moments) variance(sample bool) (v Numeric, zero, ok bool, err error) {
	if m.Count < 1 || sample && m.Count == 1 {
		return v, false, false, nil
	}
	if !m.Sum.IsFinite() || !m.Squares.IsFinite() {
		return NaN(), false, true, nil
	}
	n := FromInt(m.Count)
	// Both products keep all digits: a NumericVar's scale has no limit.
	scale := 2 * m.Sum.scale
	square := m.Sum.exact(m.Sum).Round(scale)
	numerator, err := n.exact(m.Squares).Round(scale).Sub(square)
	if err != nil {
		return v, false, false, err
	}
	if numerator.Sign() <= 0 {
		return FromInt(0), true, true, nil // as const_zero, with scale 0
	}
	divisor := n
	if sample {
		divisor = FromInt(m.Count - 1)
	}
	divisor = n.exact(divisor)
	v, err = numerator.quotient(divisor, divScale(numerator, divisor)).fits()
	return v, false, true, err
}

// exact returns n * m for finite numbers without any limit to its scale.
func (n Numeric) exact(m Numeric) Numeric {
	return Numeric{unscaled: new(big.Int).Mul(n.int(), m.int()), scale: n.scale + m.scale}
}
