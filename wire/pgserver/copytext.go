package pgserver

import "io"

// textRow reads a row of the text format (CopyReadAttributesText).
func (d *CopyDecoder) textRow() error {
	line, err := d.nextLine()
	if err != nil {
		return err
	}
	if string(line) == `\.` {
		return d.endOfData()
	}
	var ends []int
	for {
		raw, rest, more := cutEscaped(line, d.f.Delimiter)
		if string(raw) == *d.f.Null {
			ends = append(ends, -1)
		} else {
			d.mem = unescape(d.mem, raw)
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

// unescape resolves the backslashes of the text format.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' || i+1 == len(raw) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = raw[i]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'v':
			c = '\v'
		case '0', '1', '2', '3', '4', '5', '6', '7':
			v := int(c - '0')
			for n := 0; n < 2 && i+1 < len(raw) && raw[i+1] >= '0' && raw[i+1] <= '7'; n++ {
				i++
				v = v<<3 + int(raw[i]-'0')
			}
			c = byte(v)
		case 'x':
			v, n := 0, 0
			for n < 2 && i+1 < len(raw) {
				digit, ok := unhex(raw[i+1])
				if !ok {
					break
				}
				i++
				n++
				v = v<<4 + digit
			}
			if n > 0 {
				c = byte(v)
			}
		}
		dst = append(dst, c)
	}
	return dst
}

func unhex(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10, true
	}
	return 0, false
}

// csvRow reads a row of the CSV format (CopyReadAttributesCSV). A line end inside quotes does
// not end the row.
func (d *CopyDecoder) csvRow() error {
	line, err := d.nextLine()
	if err != nil {
		return err
	}
	if string(line) == `\.` {
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
