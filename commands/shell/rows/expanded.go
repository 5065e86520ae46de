package rows

import (
	"fmt"
	"strings"
)

// expanded prints each row as a block, as print_aligned_vertical in psql's print.c does.
func (t *table) expanded(footers []string) {
	if len(t.rows) == 0 || len(t.set.Columns) == 0 {
		t.footers(footers)
		return
	}
	names := make([][]line, len(t.set.Columns))
	nameWidth, valueWidth := 0, 0
	tallName, tallValue := false, false
	for i, c := range t.set.Columns {
		names[i] = layout(c.Name)
		nameWidth = max(nameWidth, maxWidth(names[i]))
		tallName = tallName || len(names[i]) > 1
	}
	for _, row := range t.rows {
		for _, cell := range row {
			lines := layout(cell)
			valueWidth = max(valueWidth, maxWidth(lines))
			tallValue = tallValue || len(lines) > 1
		}
	}
	if !t.o.TuplesOnly && t.set.Title != "" {
		t.write(t.set.Title, "\n")
	}
	for n, row := range t.rows {
		switch {
		case !t.o.TuplesOnly:
			t.record(fmt.Sprintf("[ RECORD %d ]", n+1), nameWidth, valueWidth)
		case n > 0:
			t.record("", nameWidth, valueWidth)
		}
		for i, cell := range row {
			t.field(names[i], layout(cell), nameWidth, valueWidth, tallValue)
		}
	}
	if !t.o.TuplesOnly && len(footers) > 0 {
		t.write("\n")
		for _, f := range footers {
			t.write(f, "\n")
		}
	}
	t.write("\n")
}

// record prints the rule above a record, with its number in it. The rule has its cross
// where the names end, unless the number is longer than they are.
func (t *table) record(label string, nameWidth, valueWidth int) {
	rule := strings.Repeat("-", nameWidth+1) + "+-" + strings.Repeat("-", valueWidth)
	text := "-" + label
	t.write(text, rule[min(len(text), len(rule)):], "\n")
}

// field prints one name and its value, which may each have several lines.
func (t *table) field(name, value []line, nameWidth, valueWidth int, tallValue bool) {
	for n := range max(len(name), len(value)) {
		switch {
		case n < len(name):
			t.write(name[n].text, spaces(nameWidth-name[n].width))
			if n+1 < len(name) {
				t.write("+")
			} else {
				t.write(" ")
			}
		default:
			t.write(spaces(nameWidth + 1))
		}
		t.write("|")
		if n >= len(value) {
			t.write("\n")
			continue
		}
		t.write(" ", value[n].text)
		if n+1 < len(value) && tallValue {
			t.write(spaces(valueWidth-value[n].width), "+")
		}
		t.write("\n")
	}
}
