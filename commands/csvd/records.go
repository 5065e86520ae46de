package csvd

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// records reads a file record by record. The CSV reader below it passes over empty lines; in a
// file of one column each of them is a record of one empty field, as COPY writes a NULL.
type records struct {
	in     *csv.Reader
	lines  *lineCounter
	next   int      // the number of the line behind the last record
	ahead  []string // read, but behind empty lines
	single bool
}

// read returns the next record, and io.EOF behind the last one.
func (r *records) read() ([]string, error) {
	if r.ahead == nil {
		record, err := r.in.Read()
		end := errors.Is(err, io.EOF)
		if err != nil && (!end || !r.single || r.next == 0) {
			return nil, err
		}
		if !end && r.next == 0 {
			r.single = len(record) == 1
		}
		if !r.single {
			r.next = 1
			return record, nil
		}
		r.ahead = record
	}
	line := r.lines.n + 1
	if r.ahead != nil {
		line, _ = r.in.FieldPos(0)
	}
	if r.next > 0 && r.next < line {
		r.next++
		return []string{""}, nil
	}
	record := r.ahead
	if record == nil {
		return nil, io.EOF
	}
	r.ahead, r.next = nil, line+1+strings.Count(record[0], "\n")
	return record, nil
}

// line is where the last record stands, or before it.
func (r *records) line() int {
	line, _ := r.in.FieldPos(0)
	return line
}

// A lineCounter counts the ends of lines that go through it.
type lineCounter struct {
	r io.Reader
	n int
}

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += strings.Count(string(p[:n]), "\n")
	return n, err
}
