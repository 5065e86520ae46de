package journal

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// NewJSON returns a handler that writes one JSON object for each record to w: timestamp, level
// and, in fields or beside them when it is flattened, the message and the attributes.
func NewJSON(w io.Writer, level slog.Leveler, format conf.LogFormat) slog.Handler {
	flat := format == conf.LogJSONFlattened
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.TimeKey:
			a.Key = "timestamp"
		case slog.MessageKey:
			if a.Key = "message"; !flat {
				return slog.Attr{} // it is among the fields
			}
		}
		return a
	}})
	if flat {
		return &flattened{Handler: h}
	}
	return &nested{Handler: h}
}

// nested puts everything but time and level into fields.
type nested struct {
	slog.Handler
	attrs []slog.Attr
	group string
}

// Handle implements slog.Handler.
func (h *nested) Handle(ctx context.Context, r slog.Record) error {
	fields := append([]slog.Attr{slog.String("message", r.Message)}, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, prefixed(h.group, a))
		return true
	})
	out := slog.NewRecord(r.Time, r.Level, "", r.PC)
	out.AddAttrs(slog.Attr{Key: "fields", Value: slog.GroupValue(fields...)})
	return h.Handler.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *nested) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := *h
	own.attrs = withPrefix(h.attrs, h.group, attrs)
	return &own
}

// WithGroup implements slog.Handler.
func (h *nested) WithGroup(name string) slog.Handler {
	own := *h
	own.group += name + "."
	return &own
}

// flattened has attributes of groups beside the others, by names with dots.
type flattened struct {
	slog.Handler
	group string
}

// Handle implements slog.Handler.
func (h *flattened) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(flat(h.group, a)...)
		return true
	})
	return h.Handler.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *flattened) WithAttrs(attrs []slog.Attr) slog.Handler {
	var all []slog.Attr
	for _, a := range attrs {
		all = append(all, flat(h.group, a)...)
	}
	return &flattened{h.Handler.WithAttrs(all), h.group}
}

// WithGroup implements slog.Handler.
func (h *flattened) WithGroup(name string) slog.Handler {
	return &flattened{h.Handler, h.group + name + "."}
}

func flat(prefix string, a slog.Attr) []slog.Attr {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		return []slog.Attr{{Key: prefix + a.Key, Value: v}}
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	var out []slog.Attr
	for _, sub := range v.Group() {
		out = append(out, flat(prefix, sub)...)
	}
	return out
}

func prefixed(prefix string, a slog.Attr) slog.Attr {
	a.Key = prefix + a.Key
	return a
}

func withPrefix(have []slog.Attr, prefix string, more []slog.Attr) []slog.Attr {
	out := slices.Clone(have)
	for _, a := range more {
		out = append(out, prefixed(prefix, a))
	}
	return out
}
