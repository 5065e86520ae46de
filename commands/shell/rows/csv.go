package rows

import (
	"bufio"
	"bytes"
	"strings"
)

// csvWriter prints RFC 4180 as psql --csv does: a header, newline line ends, quotes where
// they are needed, NULL as nothing.
type csvWriter struct {
	out   *bufio.Writer
	o     Options
	set   Set
	begun bool
}

func (c *csvWriter) Row(values [][]byte) error {
	c.begin()
	for i, v := range values {
		if c.o.Expanded == On {
			c.field([]byte(c.set.Columns[i].Name))
			_ = c.out.WriteByte(',')
		} else if i > 0 {
			_ = c.out.WriteByte(',')
		}
		if v == nil {
			v = []byte(c.o.Null)
		}
		c.field(v)
		if c.o.Expanded == On {
			_ = c.out.WriteByte('\n')
		}
	}
	if c.o.Expanded == On {
		return nil
	}
	return c.out.WriteByte('\n')
}

func (c *csvWriter) begin() {
	if c.begun {
		return
	}
	c.begun = true
	if c.o.TuplesOnly || c.o.Expanded == On {
		return
	}
	for i, col := range c.set.Columns {
		if i > 0 {
			_ = c.out.WriteByte(',')
		}
		c.field([]byte(col.Name))
	}
	_ = c.out.WriteByte('\n')
}

// field quotes a value that holds a comma, a quote or a line end, and "\.", which would
// end COPY's data.
func (c *csvWriter) field(v []byte) {
	if !bytes.ContainsAny(v, ",\"\r\n") && string(v) != `\.` {
		_, _ = c.out.Write(v)
		return
	}
	_, _ = c.out.WriteString(`"` + strings.ReplaceAll(string(v), `"`, `""`) + `"`)
}

func (c *csvWriter) Close([]string) error {
	c.begin()
	return c.out.Flush()
}

func (c *csvWriter) Abort() error { return c.out.Flush() }
