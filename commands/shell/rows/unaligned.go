package rows

import "bufio"

// unaligned prints fields with a separator between them, as psql -A does.
type unaligned struct {
	out  *bufio.Writer
	o    Options
	set  Set
	rows int
}

func (u *unaligned) Row(values [][]byte) error {
	if u.rows == 0 {
		u.begin()
	}
	if u.o.Expanded == On {
		if u.rows > 0 {
			u.write("\n")
		}
		for i, v := range values {
			u.write(u.set.Columns[i].Name, u.o.FieldSep)
			u.value(v)
			u.write("\n")
		}
	} else {
		for i, v := range values {
			if i > 0 {
				u.write(u.o.FieldSep)
			}
			u.value(v)
		}
		u.write("\n")
	}
	u.rows++
	return nil
}

// begin prints what comes before the first row.
func (u *unaligned) begin() {
	if u.o.TuplesOnly {
		return
	}
	if u.set.Title != "" {
		u.write(u.set.Title, "\n")
	}
	if u.o.Expanded == On {
		return
	}
	for i, c := range u.set.Columns {
		if i > 0 {
			u.write(u.o.FieldSep)
		}
		u.write(c.Name)
	}
	u.write("\n")
}

func (u *unaligned) Close(footers []string) error {
	if u.rows == 0 {
		u.begin()
	}
	if footers == nil && !u.o.NoFooter && u.o.Expanded != On {
		footers = defaultFooter(u.rows)
	}
	if !u.o.TuplesOnly && len(footers) > 0 {
		if u.o.Expanded == On && u.rows > 0 {
			u.write("\n")
		}
		for _, f := range footers {
			u.write(f, "\n")
		}
	}
	return u.out.Flush()
}

func (u *unaligned) value(v []byte) {
	if v == nil {
		u.write(u.o.Null)
		return
	}
	_, _ = u.out.Write(v)
}

// write leaves errors to Flush, which returns the first.
func (u *unaligned) write(texts ...string) {
	for _, s := range texts {
		_, _ = u.out.WriteString(s)
	}
}

func (u *unaligned) Abort() error { return u.out.Flush() }
