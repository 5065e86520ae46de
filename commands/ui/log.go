package ui

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
)

// LogHandler returns a handler that writes one readable line for each record of at least
// the given level to stderr: the level, the message, the attributes.
func (u *UI) LogHandler(level slog.Leveler) slog.Handler {
	return &logHandler{ui: u, level: level}
}

type logHandler struct {
	ui     *UI
	level  slog.Leveler
	prefix string // of attribute names, from groups
	attrs  string // already written
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	s := h.ui.err
	switch {
	case r.Level >= slog.LevelError:
		b.WriteString(s.paint(red, "error:"))
	case r.Level >= slog.LevelWarn:
		b.WriteString(s.paint(yellow, "warning:"))
	case r.Level >= slog.LevelInfo:
		b.WriteString(s.paint(cyan, "info:"))
	default:
		b.WriteString(s.paint(grey, "debug:"))
	}
	b.WriteString(" " + r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.write(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	_, err := h.ui.Stderr().Write([]byte(b.String()))
	return err
}

func (h *logHandler) write(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, sub := range v.Group() {
			h.write(b, prefix, sub)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := fmt.Sprint(v.Any())
	if text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == '='
	}) {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + h.ui.err.paint(grey, prefix+a.Key+"=") + text)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		h.write(&b, h.prefix, a)
	}
	sub := *h
	sub.attrs += b.String()
	return &sub
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	sub := *h
	if name != "" {
		sub.prefix += name + "."
	}
	return &sub
}
