package merge

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/merge/sortkey"
	"github.com/pgx-dev/pgx-dev/wire"
)

// spans adds intervals, field by field (interval_pl).
type spans struct {
	format wire.Format
	value  sortkey.Span
	some   bool
}

func outOfRange() error { return wire.Errorf(codeDatetimeOverflow, "interval out of range") }

func (s *spans) add(v, _ []byte) error {
	read := sortkey.ParseSpan
	if s.format == wire.Binary {
		read = sortkey.ParseSpanBinary
	}
	x, ok := read(v)
	if !ok {
		return badPartial("interval", v)
	}
	if x.Infinite() {
		return wire.Errorf(wire.CodeFeatureNotSupported, "infinite intervals cannot be added across shards")
	}
	months, days := int64(s.value.Months)+int64(x.Months), int64(s.value.Days)+int64(x.Days)
	micros := s.value.Micros + x.Micros
	s.value.Months, s.value.Days, s.some = int32(months), int32(days), true
	if int64(s.value.Months) != months || int64(s.value.Days) != days || (micros > s.value.Micros) != (x.Micros > 0) {
		return outOfRange()
	}
	s.value.Micros = micros
	return nil
}

func (s *spans) append(dst []byte) ([]byte, error) {
	if !s.some {
		return nil, nil
	}
	return appendSpan(dst, s.value, s.format), nil
}

// divideSpan is interval_div: fractions of a field go on to the next lower one.
func divideSpan(s sortkey.Span, factor float64) (sortkey.Span, error) {
	const daysPerMonth, secondsPerDay = 30, 86400
	round := func(x float64) float64 { return math.RoundToEven(x*1e6) / 1e6 } // TSROUND
	var r sortkey.Span
	r.Months = int32(float64(s.Months) / factor)
	r.Days = int32(float64(s.Days) / factor)
	days := round((float64(s.Months)/factor - float64(r.Months)) * daysPerMonth)
	whole := float64(int32(days))
	seconds := round((float64(s.Days)/factor - float64(r.Days) + days - whole) * secondsPerDay)
	if math.Abs(seconds) >= secondsPerDay {
		carried := int32(seconds / secondsPerDay)
		r.Days += carried
		seconds -= float64(carried) * secondsPerDay
	}
	r.Days += int32(days)
	micros := math.RoundToEven(float64(s.Micros)/factor + seconds*1e6)
	if micros >= math.MaxInt64 || micros < math.MinInt64 {
		return r, outOfRange()
	}
	r.Micros = int64(micros)
	return r, nil
}

// appendSpan appends an interval, in text in the IntervalStyle "postgres" (EncodeInterval
// in datetime.c).
func appendSpan(dst []byte, s sortkey.Span, f wire.Format) []byte {
	if f == wire.Binary {
		dst = binary.BigEndian.AppendUint64(dst, uint64(s.Micros))
		dst = binary.BigEndian.AppendUint32(dst, uint32(s.Days))
		return binary.BigEndian.AppendUint32(dst, uint32(s.Months))
	}
	empty, before := true, false
	part := func(n int32, unit string) {
		if n == 0 {
			return
		}
		if !empty {
			dst = append(dst, ' ')
		}
		if before && n > 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
		dst = append(dst, ' ')
		dst = append(dst, unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		empty, before = false, n < 0
	}
	part(s.Months/12, "year")
	part(s.Months%12, "mon")
	part(s.Days, "day")
	if !empty && s.Micros == 0 {
		return dst
	}
	if !empty {
		dst = append(dst, ' ')
	}
	micros := uint64(s.Micros)
	if s.Micros < 0 {
		dst = append(dst, '-')
		micros = -micros
	} else if before {
		dst = append(dst, '+')
	}
	two := func(n uint64) {
		if n < 10 {
			dst = append(dst, '0')
		}
		dst = strconv.AppendUint(dst, n, 10)
	}
	two(micros / 3600_000_000)
	dst = append(dst, ':')
	two(micros / 60_000_000 % 60)
	dst = append(dst, ':')
	two(micros / 1_000_000 % 60)
	if fraction := micros % 1_000_000; fraction > 0 {
		digits := strconv.FormatUint(1_000_000+fraction, 10)[1:]
		dst = append(dst, '.')
		dst = append(dst, strings.TrimRight(digits, "0")...)
	}
	return dst
}
