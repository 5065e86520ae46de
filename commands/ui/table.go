package ui

import (
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// A Table is rows of cells under a header, printed with aligned columns.
type Table struct {
	header []string
	rows   [][]string
	right  map[int]bool
}

// NewTable starts a table; without a header it has as many columns as its longest row. A header that starts with ">" makes its column right-aligned.
func NewTable(header ...string) *Table {
	t := &Table{right: map[int]bool{}}
	for i, h := range header {
		if rest, ok := strings.CutPrefix(h, ">"); ok {
			t.right[i] = true
			h = rest
		}
		t.header = append(t.header, h)
	}
	return t
}

// Row adds a row. Cells may be coloured by the UI that prints the table.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Table prints t on stdout.
func (u *UI) Table(t *Table) {
	columns := len(t.header)
	if columns == 0 {
		for _, row := range t.rows {
			columns = max(columns, len(row))
		}
	}
	widths := make([]int, columns)
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			if i < len(widths) {
				widths[i] = max(widths[i], lipgloss.Width(cell))
			}
		}
	}
	var b strings.Builder
	write := func(row []string, header bool) {
		var line strings.Builder
		for i, cell := range row {
			if i >= len(widths) {
				break
			}
			pad := strings.Repeat(" ", widths[i]-lipgloss.Width(cell))
			if header {
				cell = u.out.bold(cell)
			}
			if i > 0 {
				line.WriteString("  ")
			}
			if t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	if len(t.header) > 0 {
		write(t.header, true)
	}
	for _, row := range t.rows {
		write(row, false)
	}
	u.Printf("%s", b.String())
}
