package csvd

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// newReader reads records with the separator that the first line suggests. Files that would be
// read as something else than they are, are refused.
func newReader(r io.Reader) (*records, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	peeked, _ := b.Peek(64 << 10) // a read error comes again with the first record
	start := string(peeked)
	switch {
	case strings.HasPrefix(start, "\xff\xfe"), strings.HasPrefix(start, "\xfe\xff"):
		return nil, errors.New("the file is UTF-16; convert it to UTF-8")
	case strings.HasPrefix(start, "\ufeff"):
		_, _ = b.Discard(len("\ufeff")) // it has been peeked at
		start = start[len("\ufeff"):]
	}
	if strings.Contains(start, "\r") && !strings.Contains(start, "\n") {
		return nil, errors.New("its lines end with carriage returns alone; convert them to newlines")
	}
	lines := &lineCounter{r: b}
	in := csv.NewReader(lines)
	in.Comma = separator(start)
	return &records{in: in, lines: lines}, nil
}

// separator is what the first line has most of outside of quotes: a comma, unless there are more
// semicolons or tabs.
func separator(start string) rune {
	counts := map[rune]int{}
	quoted := false
	for _, c := range start {
		if c == '\n' && !quoted {
			break
		}
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[c]++
		}
	}
	best := ','
	for _, c := range []rune{';', '\t'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}

// columnNames makes names of the header: trimmed, never empty, each of them once.
func columnNames(header []string) ([]string, error) {
	seen := map[string]bool{}
	names := make([]string, len(header))
	for i, name := range header {
		if err := checkText(name); err != nil {
			return nil, fmt.Errorf("the name of column %d: %w", i+1, err)
		}
		if name = strings.TrimSpace(name); name == "" {
			name = "column" + strconv.Itoa(i+1)
		}
		unique := name
		for n := 2; seen[strings.ToLower(unique)]; n++ {
			unique = fmt.Sprintf("%s_%d", name, n)
		}
		seen[strings.ToLower(unique)] = true
		names[i] = unique
	}
	return names, nil
}

func checkText(text string) error {
	switch {
	case !utf8.ValidString(text):
		return fmt.Errorf("%.40q is not UTF-8", text)
	case strings.ContainsRune(text, 0):
		return fmt.Errorf("%.40q has a zero byte, which no text in PostgreSQL has", text)
	}
	return nil
}

var numeral = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

// fits reports whether a text is a value of a type.
func fits(typ, text string) bool {
	switch typ {
	case "boolean":
		switch strings.ToLower(text) {
		case "true", "false", "t", "f", "yes", "no":
			return true
		}
	case "bigint":
		// A leading zero is a code, not a number.
		_, err := strconv.ParseInt(text, 10, 64)
		digits := strings.TrimLeft(text, "+-")
		return err == nil && (len(digits) < 2 || digits[0] != '0')
	case "double precision":
		digits := strings.TrimLeft(text, "+-")
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !numeral.MatchString(text) {
			return false // out of range, for one
		}
		if !strings.ContainsAny(digits, ".eE") && len(digits) > 15 && strconv.FormatFloat(math.Abs(f), 'f', -1, 64) != digits {
			return false // a number of so many digits is a key: another one near it will not do
		}
		return len(digits) < 2 || digits[0] != '0' || digits[1] == '.'
	case "date":
		_, err := time.Parse(time.DateOnly, text)
		return err == nil
	case "timestamp":
		_, ok := parseTime(text)
		return ok
	}
	return typ == "text"
}

func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// sniff finds the columns' types from the first rows, which it returns.
func sniff(in *records, t *Table) ([][]string, error) {
	order := []string{"boolean", "bigint", "double precision", "date", "timestamp", "text"}
	possible := make([]map[string]bool, len(t.Columns))
	some := make([]bool, len(t.Columns))
	for i := range possible {
		possible[i] = map[string]bool{}
		for _, typ := range order {
			possible[i][typ] = true
		}
	}
	var rows [][]string
	for len(rows) < SniffRows {
		record, err := in.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, record)
		for i, text := range record {
			if text == "" {
				continue
			}
			some[i] = true
			for typ := range possible[i] {
				if !fits(typ, text) {
					delete(possible[i], typ)
				}
			}
		}
	}
	for i := range possible {
		typ := "text"
		for _, candidate := range order {
			if some[i] && possible[i][candidate] {
				typ = candidate
				break
			}
		}
		t.Types = append(t.Types, typ)
	}
	return rows, nil
}

// convert makes a value of a field. What comes after the rows that were looked at may not
// be what those suggested.
func convert(typ, text string) (any, error) {
	if text == "" {
		return nil, nil
	}
	if !fits(typ, text) {
		return nil, fmt.Errorf("%.40q is no %s, as the first %d rows suggested", text, typ, SniffRows)
	}
	switch typ {
	case "boolean":
		return strings.ContainsAny(strings.ToLower(text[:1]), "ty"), nil
	case "bigint":
		return strconv.ParseInt(text, 10, 64)
	case "double precision":
		return strconv.ParseFloat(text, 64)
	case "timestamp":
		ts, _ := parseTime(text)
		return ts.Format("2006-01-02 15:04:05.999999999"), nil
	case "text":
		return text, checkText(text)
	}
	return text, nil
}

// quote quotes a name for SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
