package ui

import (
	"regexp"
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// maxProse is how wide prose may get: longer lines are hard to read.
const maxProse = 100

// Markdown prints a page on stdout, wrapped to its width: headings, paragraphs, lists,
// tables, fenced code, and within lines code, bold, emphasis and links. That is the whole
// of the Markdown that help topics use.
func (u *UI) Markdown(src string) {
	u.Printf("%s", u.out.markdown(src, min(u.out.width(), maxProse)))
}

var (
	listItem  = regexp.MustCompile(`^(\s*)([-*]|\d+\.)\s+(.*)$`)
	tableRule = regexp.MustCompile(`^\s*\|[\s:|-]+\|\s*$`)
)

// markdown renders src block by block.
func (s *stream) markdown(src string, width int) string {
	var b strings.Builder
	lines := strings.Split(strings.TrimRight(src, "\n"), "\n")
	blank := func() {
		if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n\n") {
			b.WriteByte('\n')
		}
	}
	for i := 0; i < len(lines); {
		line := lines[i]
		switch {
		case strings.TrimSpace(line) == "":
			blank()
			i++
		case strings.HasPrefix(line, "```"):
			for i++; i < len(lines) && !strings.HasPrefix(lines[i], "```"); i++ {
				b.WriteString(strings.TrimRight("    "+s.paint(cyan, lines[i]), " ") + "\n")
			}
			i++
		case strings.HasPrefix(line, "#"):
			title := strings.TrimSpace(strings.TrimLeft(line, "#"))
			if strings.HasPrefix(line, "# ") {
				title = strings.ToUpper(title)
			}
			blank()
			b.WriteString(s.bold(title) + "\n")
			i++
		case strings.HasPrefix(line, "|"):
			var rows [][]string
			for ; i < len(lines) && strings.HasPrefix(lines[i], "|"); i++ {
				if !tableRule.MatchString(lines[i]) {
					rows = append(rows, cells(lines[i]))
				}
			}
			s.table(&b, rows, width)
		default:
			// A paragraph or a list item, with the lines that go on with it.
			indent, marker, text := "", "", strings.TrimSpace(line)
			if m := listItem.FindStringSubmatch(line); m != nil {
				indent, marker, text = m[1], m[2], m[3]
				if marker == "*" {
					marker = "-"
				}
				marker += " "
			}
			for i++; i < len(lines) && continues(lines[i]); i++ {
				text += " " + strings.TrimSpace(lines[i])
			}
			hang := indent + strings.Repeat(" ", len(marker))
			for n, l := range wrap(s.inline(text), width-len(hang)) {
				if n == 0 {
					b.WriteString(indent + marker + l + "\n")
				} else {
					b.WriteString(hang + l + "\n")
				}
			}
		}
	}
	return b.String()
}

// continues reports whether a line belongs to the paragraph or list item before it.
func continues(line string) bool {
	return strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "|") &&
		!strings.HasPrefix(line, "```") && !listItem.MatchString(line)
}

// cells splits a table row at its bars, but not at "\|".
func cells(line string) []string {
	line = strings.ReplaceAll(strings.Trim(strings.TrimSpace(line), "|"), `\|`, "\x00")
	var out []string
	for cell := range strings.SplitSeq(line, "|") {
		out = append(out, strings.ReplaceAll(strings.TrimSpace(cell), "\x00", "|"))
	}
	return out
}

// table writes rows in columns; the last column takes the room that is left and wraps.
func (s *stream) table(b *strings.Builder, rows [][]string, width int) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], lipgloss.Width(s.inline(cell)))
		}
	}
	left := 0
	for _, w := range widths[:max(0, len(widths)-1)] {
		left += w + 2
	}
	for n, row := range rows {
		var head strings.Builder
		for i, cell := range row {
			text := s.inline(cell)
			if n == 0 {
				text = s.bold(plainText(cell))
			}
			if i < len(row)-1 {
				head.WriteString(text + strings.Repeat(" ", widths[i]-lipgloss.Width(text)+2))
				continue
			}
			for k, l := range wrap(text, max(20, width-left)) {
				if k > 0 {
					head.WriteString("\n" + strings.Repeat(" ", left))
				}
				head.WriteString(l)
			}
		}
		for l := range strings.SplitSeq(head.String(), "\n") {
			b.WriteString(strings.TrimRight(l, " ") + "\n")
		}
	}
}

var span = regexp.MustCompile("`[^`]+`" + `|\*\*[^*]+\*\*|\*[^*\s][^*]*\*|\[[^\]]+\]\([^)]+\)`)

// inline renders code, bold, emphasis and links. Without colours, code keeps its quotes
// off and a link shows where it leads.
func (s *stream) inline(text string) string {
	return span.ReplaceAllStringFunc(text, func(m string) string {
		switch {
		case m[0] == '`':
			return s.words(m[1:len(m)-1], func(w string) string { return s.paint(cyan, w) })
		case strings.HasPrefix(m, "**"):
			return s.words(m[2:len(m)-2], s.bold)
		case m[0] == '*':
			return s.words(m[1:len(m)-1], s.italic)
		}
		label, target, _ := strings.Cut(m[1:len(m)-1], "](")
		return label + " (" + target + ")"
	})
}

// words styles each word by itself, so that a line may be broken between them.
func (s *stream) words(text string, style func(string) string) string {
	parts := strings.Split(text, " ")
	for i := range parts {
		if parts[i] != "" {
			parts[i] = style(parts[i])
		}
	}
	return strings.Join(parts, " ")
}

// plainText takes the marks of inline away.
func plainText(text string) string {
	return span.ReplaceAllStringFunc(text, func(m string) string { return strings.Trim(m, "`*") })
}

// wrap breaks text between words; a word that is too long gets a line to itself.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for word := range strings.FieldsSeq(text) {
		w := lipgloss.Width(word)
		if line != "" && used+1+w > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if line != "" {
			line += " "
			used++
		}
		line += word
		used += w
	}
	return append(lines, line)
}
