package rows

import (
	"bufio"
	"strings"
)

// A table collects rows and prints them aligned, or expanded, at Close.
type table struct {
	out  *bufio.Writer
	o    Options
	set  Set
	rows [][]string
}

func (t *table) Row(values [][]byte) error {
	row := make([]string, len(values))
	for i, v := range values {
		if v == nil {
			row[i] = t.o.Null
		} else {
			row[i] = string(v)
		}
	}
	t.rows = append(t.rows, row)
	return nil
}

func (t *table) Close(footers []string) error {
	header, widths := t.measure()
	if t.o.Expanded == On || t.o.Expanded == Auto && t.o.Width > 0 && totalWidth(widths) > t.o.Width {
		t.expanded(footers)
		return t.out.Flush()
	}
	if !t.o.TuplesOnly {
		t.title(totalWidth(widths))
		t.header(header, widths)
	}
	for _, row := range t.rows {
		t.row(row, widths)
	}
	t.footers(footers)
	return t.out.Flush()
}

// measure lays out the header and finds how wide each column is.
func (t *table) measure() (header [][]line, widths []int) {
	widths = make([]int, len(t.set.Columns))
	for i, c := range t.set.Columns {
		header = append(header, layout(c.Name))
		widths[i] = maxWidth(header[i])
	}
	for _, row := range t.rows {
		for i, cell := range row {
			if plain(cell) {
				widths[i] = max(widths[i], len(cell))
			} else {
				widths[i] = max(widths[i], maxWidth(layout(cell)))
			}
		}
	}
	return header, widths
}

func totalWidth(widths []int) int {
	total := 3*len(widths) - min(len(widths), 1)
	for _, w := range widths {
		total += w
	}
	return total
}

func (t *table) title(total int) {
	if t.set.Title == "" {
		return
	}
	t.write(spaces((total-Width(t.set.Title))/2), t.set.Title, "\n")
}

func (t *table) header(header [][]line, widths []int) {
	height := 0
	for _, h := range header {
		height = max(height, len(h))
	}
	for n := range height {
		for i, h := range header {
			t.write(" ")
			if n < len(h) {
				free := widths[i] - h[n].width
				t.write(spaces(free/2), h[n].text, spaces((free+1)/2))
			} else {
				t.write(spaces(widths[i]))
			}
			if n+1 < len(h) {
				t.write("+")
			} else {
				t.write(" ")
			}
			if i < len(header)-1 {
				t.write("|")
			}
		}
		t.write("\n")
	}
	t.write("-")
	for i, w := range widths {
		t.write(strings.Repeat("-", w))
		if i < len(widths)-1 {
			t.write("-+-")
		}
	}
	t.write("-\n")
}

func (t *table) row(row []string, widths []int) {
	if len(row) == 0 {
		return
	}
	cells := make([][]line, len(row))
	height := 1
	for i, cell := range row {
		cells[i] = layout(cell)
		height = max(height, len(cells[i]))
	}
	for n := range height {
		for i, lines := range cells {
			last := i == len(cells)-1
			if n >= len(lines) {
				t.write(" ")
				if !last {
					t.write(spaces(widths[i]), " |")
				}
				continue
			}
			l, more := lines[n], n+1 < len(lines)
			t.write(" ")
			switch {
			case rightAligned(t.set.Columns[i].Type):
				t.write(spaces(widths[i]-l.width), l.text)
			case !last || more:
				t.write(l.text, spaces(widths[i]-l.width))
			default:
				t.write(l.text)
			}
			switch {
			case more:
				t.write("+")
			case !last:
				t.write(" ")
			}
			if !last {
				t.write("|")
			}
		}
		t.write("\n")
	}
}

func (t *table) footers(footers []string) {
	if footers == nil && !t.o.NoFooter {
		footers = defaultFooter(len(t.rows))
	}
	if !t.o.TuplesOnly {
		for _, f := range footers {
			t.write(f, "\n")
		}
	}
	t.write("\n")
}

// write leaves errors to Flush, which returns the first.
func (t *table) write(texts ...string) {
	for _, s := range texts {
		_, _ = t.out.WriteString(s)
	}
}

func (*table) Abort() error { return nil }
