package metrics

import (
	"io"
	"math"
	"strconv"
	"strings"
)

// A Format is a version of the text.
type Format uint8

// The formats.
const (
	// Text is Prometheus' text format 0.0.4.
	Text Format = iota
	// OpenMetrics is OpenMetrics 1.0.
	OpenMetrics
)

// ContentType is the format's media type.
func (f Format) ContentType() string {
	if f == OpenMetrics {
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return "text/plain; version=0.0.4; charset=utf-8"
}

// Write writes a snapshot. namespace stands before every name, as it is.
func Write(w io.Writer, s *Snapshot, a *Averager, namespace string, f Format) error {
	e := encoder{format: f, namespace: namespace}
	averages := make([]Average, len(s.Pools))
	labels := make([]string, len(s.Pools))
	for i := range s.Pools {
		if a != nil {
			averages[i] = a.Average(s.Pools[i].Labels)
		}
		labels[i] = s.Pools[i].Labels.text()
	}
	for _, m := range all() {
		if !s.Counted(m.name) {
			continue
		}
		e.metric(m, s, averages, labels)
		if len(e.buf) > 1<<16 {
			if _, err := w.Write(e.buf); err != nil {
				return err
			}
			e.buf = e.buf[:0]
		}
	}
	if f == OpenMetrics {
		e.buf = append(e.buf, "# EOF\n"...)
	}
	_, err := w.Write(e.buf)
	return err
}

type encoder struct {
	format    Format
	namespace string
	buf       []byte
}

func (e *encoder) metric(m metric, s *Snapshot, averages []Average, labels []string) {
	name := e.namespace + m.name
	switch {
	case m.one != nil:
		e.head(name, m)
		e.sample(name, "", "", m.one(s))
	case m.pool != nil:
		e.head(name, m)
		for i := range s.Pools {
			e.sample(name, labels[i], "", m.pool(&s.Pools[i], &averages[i]))
		}
	case m.mirror != nil:
		e.head(name, m)
		for i := range s.Mirrors {
			mirror := &s.Mirrors[i]
			e.sample(name, `source_db="`+escape(mirror.Source)+`",destination_db="`+escape(mirror.Destination)+`"`, "", m.mirror(mirror))
		}
	case m.histogram != nil:
		e.head(name, m)
		for i := range s.Pools {
			if h := m.histogram(&s.Pools[i]); h != nil {
				e.histogram(name, labels[i], h)
			}
		}
	}
}

// head writes what a metric is.
func (e *encoder) head(name string, m metric) {
	family, kind := name, "gauge"
	switch {
	case m.histogram != nil:
		kind = "histogram"
	case m.counter && e.format == Text:
		kind = "counter"
	case m.counter && strings.HasSuffix(name, "_total"):
		family, kind = strings.TrimSuffix(name, "_total"), "counter"
	case m.counter:
		kind = "unknown"
	}
	e.buf = append(append(append(append(e.buf, "# HELP "...), family...), ' '), m.help...)
	e.buf = append(append(append(append(e.buf, "\n# TYPE "...), family...), ' '), kind...)
	e.buf = append(e.buf, '\n')
}

// sample writes one value. The buckets' label comes last.
func (e *encoder) sample(name, labels, le string, v float64) {
	e.buf = append(e.buf, name...)
	if labels != "" || le != "" {
		e.buf = append(append(e.buf, '{'), labels...)
		if le != "" {
			if labels != "" {
				e.buf = append(e.buf, ',')
			}
			e.buf = append(append(append(e.buf, `le="`...), le...), '"')
		}
		e.buf = append(e.buf, '}')
	}
	e.buf = append(number(append(e.buf, ' '), v), '\n')
}

func number(b []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

func (e *encoder) histogram(name, labels string, h *Histogram) {
	var n int64
	for i := range h.buckets {
		n += h.buckets[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i].Seconds(), 'f', -1, 64)
			if e.format == OpenMetrics && !strings.Contains(le, ".") {
				le += ".0" // OpenMetrics writes these as floats
			}
		}
		e.sample(name+"_bucket", labels, le, float64(n))
	}
	e.sample(name+"_sum", labels, "", float64(h.sum.Load())/1e9)
	e.sample(name+"_count", labels, "", float64(n))
}

// text writes the labels, without braces.
func (l *Labels) text() string {
	return `user="` + escape(l.User) + `",database="` + escape(l.Database) + `",host="` + escape(l.Host) +
		`",port="` + strconv.Itoa(l.Port) + `",shard="` + strconv.Itoa(l.Shard) + `",role="` + escape(l.Role) + `"`
}

// escape writes a label's value.
func escape(s string) string {
	if !strings.ContainsAny(s, "\\\"\n") {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}
