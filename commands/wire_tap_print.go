package commands

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/wire/tap"
)

// A tapPrinter writes one line for each event. It is called by one goroutine at a time.
type tapPrinter struct {
	w      io.Writer
	json   bool
	ui     *ui.UI
	colour bool
	failed func() // is called when a line cannot be written
	err    error
}

func (p *tapPrinter) write(line []byte) {
	if p.err != nil {
		return
	}
	if _, err := p.w.Write(line); err != nil {
		p.err = fmt.Errorf("write the messages: %w", err)
		p.failed()
	}
}

// ready writes where clients connect, as the first of the JSON lines.
func (p *tapPrinter) ready(url string) {
	p.event(tap.Event{Time: time.Now(), From: tap.Self, Message: "Ready", Fields: []tap.Field{{Name: "url", Value: url}}})
}

func (p *tapPrinter) event(e tap.Event) {
	if p.json {
		line, err := tapJSON(e)
		if err != nil {
			line = fmt.Appendf(nil, `{"error":%q}`+"\n", err)
		}
		p.write(line)
		return
	}
	p.write([]byte(p.text(e)))
}

// tapJSON writes an event as one line of JSON: time, conn, from, message, bytes, took_us and
// fields, in this order.
func tapJSON(e tap.Event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	put := func(v any) error {
		err := enc.Encode(v)
		b.Truncate(max(0, b.Len()-1)) // the newline
		return err
	}
	fmt.Fprintf(&b, `{"time":%q`, e.Time.UTC().Format(time.RFC3339Nano))
	if e.Conn > 0 {
		fmt.Fprintf(&b, `,"conn":%d`, e.Conn)
	}
	fmt.Fprintf(&b, `,"from":%q,"message":%q`, e.From, e.Message)
	if e.Size > 0 {
		fmt.Fprintf(&b, `,"bytes":%d`, e.Size)
	}
	if e.Took > 0 {
		fmt.Fprintf(&b, `,"took_us":%d`, e.Took.Microseconds())
	}
	if len(e.Fields) > 0 {
		b.WriteString(`,"fields":{`)
		for i, f := range e.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := put(f.Name); err != nil {
				return nil, err
			}
			b.WriteByte(':')
			if err := put(f.Value); err != nil {
				return nil, err
			}
		}
		b.WriteByte('}')
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// text writes an event for people: the time, the connection, the direction, the message.
func (p *tapPrinter) text(e tap.Event) string {
	arrow, name := "·", e.Message
	switch e.From {
	case tap.Client:
		arrow = "→"
		name = p.paint(p.ui.Bold, name)
	case tap.Server:
		arrow = "←"
		switch e.Message {
		case "ErrorResponse":
			name = p.paint(p.ui.Bad, name)
		case "NoticeResponse":
			name = p.paint(p.ui.Caution, name)
		default:
			name = p.paint(p.ui.Good, name)
		}
	case tap.Self:
		name = p.paint(p.ui.Dim, name)
	}
	var b strings.Builder
	b.WriteString(p.paint(p.ui.Dim, e.Time.Format("15:04:05.000000")))
	fmt.Fprintf(&b, " #%d %s %s", e.Conn, arrow, name)
	for _, f := range e.Fields {
		b.WriteString(" " + p.paint(p.ui.Dim, f.Name+"=") + tapText(f.Value))
	}
	if e.Took > 0 {
		b.WriteString(" " + p.paint(p.ui.Caution, "("+tapDuration(e.Took)+")"))
	}
	b.WriteByte('\n')
	return b.String()
}

func (p *tapPrinter) paint(style func(string) string, text string) string {
	if !p.colour {
		return text
	}
	return style(text)
}

// tapDuration rounds to what is worth reading.
func tapDuration(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%d µs", d.Microseconds())
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// tapText writes a value on one line, whatever a client or server has put into it.
func tapText(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		if v != "" && !strings.ContainsFunc(v, func(r rune) bool {
			return r <= ' ' || r == '"' || r == '\\' || r == '=' || !strconv.IsPrint(r)
		}) {
			return v
		}
		return strconv.Quote(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = tapText(v[i])
		}
		return "[" + strings.Join(parts, " ") + "]"
	case []string:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = tapText(v[i])
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(v)
}
