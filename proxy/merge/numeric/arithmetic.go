package numeric

import "math/big"

// Add returns n + m, with the greater of both scales (numeric_add).
func (n Numeric) Add(m Numeric) (Numeric, error) {
	if n.class != finite || m.class != finite {
		switch {
		case n.class == nan || m.class == nan:
			return NaN(), nil
		case n.class == finite:
			return m, nil
		case m.class == finite || n.class == m.class:
			return n, nil
		}
		return NaN(), nil // infinities of both signs
	}
	scale := max(n.scale, m.scale)
	return Numeric{unscaled: new(big.Int).Add(n.at(scale), m.at(scale)), scale: scale}.fits()
}

// Neg returns -n.
func (n Numeric) Neg() Numeric {
	switch n.class {
	case plusInfinity, minusInfinity:
		return Infinity(n.class == plusInfinity)
	case nan:
		return n
	}
	return Numeric{unscaled: new(big.Int).Neg(n.int()), scale: n.scale}
}

// Sub returns n - m, with the greater of both scales (numeric_sub).
func (n Numeric) Sub(m Numeric) (Numeric, error) { return n.Add(m.Neg()) }

// Mul returns n * m, exactly, with the sum of both scales; beyond MaxScale it is rounded
// to that (numeric_mul).
func (n Numeric) Mul(m Numeric) (Numeric, error) {
	if n.class != finite || m.class != finite {
		if n.class == nan || m.class == nan || n.Sign() == 0 || m.Sign() == 0 {
			return NaN(), nil
		}
		return Infinity(n.Sign()*m.Sign() < 0), nil
	}
	p := Numeric{unscaled: new(big.Int).Mul(n.int(), m.int()), scale: n.scale + m.scale}
	if p.scale > MaxScale {
		p = p.Round(MaxScale)
	}
	return p.fits()
}

// Div returns n / m, rounded half away from zero to the scale that the server selects:
// at least 16 significant digits, and no less than either operand's (numeric_div).
func (n Numeric) Div(m Numeric) (Numeric, error) {
	if n.class == nan || m.class == nan {
		return NaN(), nil
	}
	if n.class != finite {
		switch {
		case m.class != finite:
			return NaN(), nil
		case m.Sign() == 0:
			return Numeric{}, ErrDivisionByZero
		}
		return Infinity(n.Sign()*m.Sign() < 0), nil
	}
	if m.class != finite {
		return FromInt(0), nil // scale 0: the server returns const_zero
	}
	if m.Sign() == 0 {
		return Numeric{}, ErrDivisionByZero
	}
	return n.quotient(m, divScale(n, m)).fits()
}

// quotient returns n / m with the given scale.
func (n Numeric) quotient(m Numeric, scale int) Numeric {
	// n/10^a / (m/10^b) * 10^scale = n * 10^(scale+b-a) / m
	num, den := n.int(), m.int()
	if shift := scale + m.scale - n.scale; shift >= 0 {
		num = new(big.Int).Mul(num, pow10(shift))
	} else {
		den = new(big.Int).Mul(den, pow10(-shift))
	}
	return Numeric{unscaled: divRound(num, den), scale: scale}
}

// divScale is select_div_scale.
func divScale(n, m Numeric) int {
	weight1, first1 := n.leading()
	weight2, first2 := m.leading()
	weight := weight1 - weight2
	if first1 <= first2 {
		weight--
	}
	scale := max(minSignificant-weight*groupDigits, n.scale, m.scale, 0)
	return min(scale, maxDisplay)
}

// leading returns the weight and the value of n's first base 10,000 digit; 0 has 0 and 0.
func (n Numeric) leading() (weight, digit int) {
	if n.Sign() == 0 {
		return 0, 0
	}
	s := new(big.Int).Abs(n.int()).Text(10)
	// The first decimal digit stands for 10^power.
	power := len(s) - 1 - n.scale
	weight = floorDiv(power, groupDigits)
	count := power - weight*groupDigits + 1 // decimal digits in the first group
	for i := range count {
		digit *= 10
		if i < len(s) {
			digit += int(s[i] - '0')
		}
	}
	return weight, digit
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// divRound returns a / b rounded half away from zero.
func divRound(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(b) >= 0 {
		if a.Sign()*b.Sign() < 0 {
			q.Sub(q, big.NewInt(1))
		} else {
			q.Add(q, big.NewInt(1))
		}
	}
	return q
}

// Round returns n with the given scale, rounded half away from zero (numeric_round). A
// negative scale rounds before the point.
func (n Numeric) Round(scale int) Numeric {
	if n.class != finite {
		return n
	}
	if scale >= n.scale {
		return Numeric{unscaled: n.at(scale), scale: scale}
	}
	rounded := divRound(n.int(), pow10(n.scale-scale))
	if scale < 0 {
		return Numeric{unscaled: rounded.Mul(rounded, pow10(-scale))}
	}
	return Numeric{unscaled: rounded, scale: scale}
}

// Sqrt returns the square root with the scale that the server selects (numeric_sqrt).
func (n Numeric) Sqrt() (Numeric, error) {
	switch {
	case n.class == nan || n.class == plusInfinity:
		return n, nil
	case n.Sign() < 0:
		return Numeric{}, ErrNegativeRoot
	}
	weight, _ := n.leading()
	sweight := (weight+1)*groupDigits/2 - 1
	scale := min(max(minSignificant-sweight, n.scale, 0), maxDisplay)
	return n.root(scale), nil
}

// root returns the square root of n rounded to scale.
func (n Numeric) root(scale int) Numeric {
	// One more digit decides the rounding: a root is never exactly half between two
	// numbers of the scale unless its square says so in that digit.
	r := new(big.Int)
	shift := 2*(scale+1) - n.scale
	if shift >= 0 {
		r.Mul(n.int(), pow10(shift))
	} else {
		r.Quo(n.int(), pow10(-shift))
	}
	r.Sqrt(r)
	return Numeric{unscaled: divRound(r, big.NewInt(10)), scale: scale}
}
