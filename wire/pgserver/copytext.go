package pgserver

import (
	"io"

	"github.com/pgx-dev/pgx-dev/wire"
)

// textRow reads a row of the text format (CopyReadAttributesText).
func (d *CopyDecoder) textRow() error {
	line, err := d.nextLine()
	if err != nil {
		return err
	}
	if string(line) == `\.` {
		if d.cut {
			return d.bad("end-of-copy marker corrupt")
		}
		return d.endOfData()
	}
	var ends []int
	for {
		raw, rest, more := cutEscaped(line, d.f.Delimiter)
		if string(raw) == *d.f.Null {
			ends = append(ends, -1)
		} else {
			d.mem = wire.AppendCopyText(d.mem, raw)
			ends = append(ends, len(d.mem))
		}
		if !more {
			break
		}
		line = rest
	}
	d.fields(ends)
	return nil
}

// endOfData reads what comes after an end-of-copy marker, which old clients send.
func (d *CopyDecoder) endOfData() error {
	for {
		ok, err := d.more(1)
		if err != nil {
			return err
		}
		if !ok {
			return io.EOF
		}
		d.from = d.to // PostgreSQL ignores it, too
	}
}

// cutEscaped cuts at the first delimiter that no backslash quotes.
func cutEscaped(line []byte, delim byte) (field, rest []byte, found bool) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case delim:
			return line[:i], line[i+1:], true
		}
	}
	return line, nil, false
}

// csvRow reads a row of the CSV format (CopyReadAttributesCSV). A line end inside quotes does
// not end the row.
func (d *CopyDecoder) csvRow() error {
	line, err := d.nextLine()
	if err != nil {
		return err
	}
	if string(line) == `\.` && !d.f.NoEndMarker && !d.cut {
		return d.endOfData()
	}
	var ends []int
	quote, escape := d.f.Quote, d.f.Escape
	for i := 0; ; i++ {
		start, mark, quoted, in := i, len(d.mem), false, false
		for ; i < len(line); i++ {
			c := line[i]
			switch {
			case in && c == escape && i+1 < len(line) && (line[i+1] == escape || line[i+1] == quote):
				i++
				d.mem = append(d.mem, line[i])
				continue
			case in && c == quote:
				in = false
				continue
			case !in && c == quote:
				in, quoted = true, true
				continue
			case !in && c == d.f.Delimiter:
			default:
				d.mem = append(d.mem, c)
				continue
			}
			break
		}
		if in {
			return d.bad("unterminated CSV quoted field")
		}
		if !quoted && string(line[start:min(i, len(line))]) == *d.f.Null {
			d.mem = d.mem[:mark]
			ends = append(ends, -1)
		} else {
			ends = append(ends, len(d.mem))
		}
		if i >= len(line) {
			break
		}
	}
	d.fields(ends)
	return nil
}
