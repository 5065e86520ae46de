package emscripten

import (
	"time"

	"github.com/tetratelabs/wazero/api"
)

func timeCalls() map[string]Call {
	// The guest's time zone is UTC: PostgreSQL brings its own zones and only asks libc for
	// log timestamps.
	breakDown := func(p *Process, s []uint64) {
		t := time.Unix(int64(s[0]), 0).UTC()
		b := p.view(uint32(s[1]), 44)
		clear(b)
		for i, v := range []int{t.Second(), t.Minute(), t.Hour(), t.Day(), int(t.Month()) - 1, t.Year() - 1900, int(t.Weekday()), t.YearDay() - 1} {
			le.PutUint32(b[i*4:], uint32(v))
		}
	}
	return map[string]Call{
		"clock_time_get": func(p *Process, s []uint64) {
			if p.Waiting != nil && p.Waiting() {
				p.nap()
			}
			now := time.Now().UnixNano()
			if uint32(s[0]) != 0 { // CLOCK_MONOTONIC and the CPU-time clocks
				now = int64(time.Since(p.start))
			}
			p.putU64(uint32(s[2]), uint64(now))
			result(s, 0)
		},
		"emscripten_date_now": func(_ *Process, s []uint64) {
			s[0] = api.EncodeF64(float64(time.Now().UnixNano()) / 1e6)
		},
		"emscripten_get_now": func(p *Process, s []uint64) { s[0] = api.EncodeF64(p.now()) },
		"_tzset_js": func(p *Process, s []uint64) {
			p.putU32(uint32(s[0]), 0)
			p.putU32(uint32(s[1]), 0)
			p.putString(uint32(s[2]), "UTC")
			p.putString(uint32(s[3]), "UTC")
		},
		"_localtime_js": breakDown,
		"_gmtime_js":    breakDown,
		"_mktime_js": func(p *Process, s []uint64) {
			b := p.view(uint32(s[0]), 44)
			f := func(i int) int { return int(int32(le.Uint32(b[i*4:]))) }
			s[0] = uint64(time.Date(f(5)+1900, time.Month(f(4)+1), f(3), f(2), f(1), f(0), 0, time.UTC).Unix())
		},
		"_setitimer_js": func(p *Process, s []uint64) {
			const itimerReal = 0
			if uint32(s[0]) != itimerReal {
				result(s, -eINVAL)
				return
			}
			ms := api.DecodeF64(s[1])
			d := time.Duration(ms * float64(time.Millisecond))
			if ms > 0 && d <= 0 {
				d = 1
			}
			p.setTimer(d)
			result(s, 0)
		},
	}
}
