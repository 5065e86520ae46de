package csvd

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// newReader reads records with the separator that the first line suggests. Quotes inside
// of fields that have none around them are taken as they are.
func newReader(r io.Reader) *csv.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	start, _ := b.Peek(64 << 10) // a read error comes again with the first record
	if strings.HasPrefix(string(start), "\ufeff") {
		_, _ = b.Discard(len("\ufeff")) // it has been peeked at
		start = start[len("\ufeff"):]
	}
	line, _, _ := strings.Cut(string(start), "\n")
	in := csv.NewReader(b)
	in.ReuseRecord = false
	most := 0
	for _, c := range []rune{',', ';', '\t'} {
		if n := strings.Count(line, string(c)); n > most {
			in.Comma, most = c, n
		}
	}
	return in
}

// columnNames makes names of the header: trimmed, never empty, each of them once.
func columnNames(header []string) []string {
	seen := map[string]bool{}
	names := make([]string, len(header))
	for i, name := range header {
		name = strings.ToValidUTF8(strings.TrimSpace(strings.ReplaceAll(name, "\x00", "")), "?")
		if name == "" {
			name = "column" + strconv.Itoa(i+1)
		}
		unique := name
		for n := 2; seen[strings.ToLower(unique)]; n++ {
			unique = fmt.Sprintf("%s_%d", name, n)
		}
		seen[strings.ToLower(unique)] = true
		names[i] = unique
	}
	return names
}

// The types that columns may have, narrowest first; each value narrows what is possible.
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
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return false // out of range
		}
		return numeral.MatchString(text) && (len(digits) < 2 || digits[0] != '0' || digits[1] == '.')
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
func sniff(in *csv.Reader, t *Table) ([][]string, error) {
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
		record, err := in.Read()
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
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("%.40q is not UTF-8", text)
		}
	}
	return text, nil
}

// quote quotes a name for SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
