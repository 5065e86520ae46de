package scatter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// copyOut is COPY TO STDOUT from several shards.
func (s *Session) copyOut(ctx context.Context, d *route.Decision, q *request) error {
	options, query := map[string]string{}, ""
	if d.Plan.Copy != nil {
		options = d.Plan.Copy.Options
	}
	if d.Plan.Inner != nil {
		w, err := scan(q.sql)
		if err != nil {
			return err
		}
		end := lex.Match(w.sql, w.toks, 1)
		if end < 0 {
			return wire.Errorf(wire.CodeSyntaxError, "syntax error in COPY")
		}
		if options, err = copyOptions(w, end+1); err != nil {
			return err
		}
		sub := &request{sql: w.inner(2, end)}
		var inner route.Decision
		if err := s.decide(ctx, &inner, sub); err != nil {
			return err
		}
		query = sub.sql
		if !plainConcat(&inner) {
			return s.copyRows(ctx, &inner, sub, options)
		}
	}
	plain := &request{sql: q.sql}
	branches, err := s.branches(ctx, d, plain, d.Targets())
	if err != nil {
		return err
	}
	if err := s.copyBinary(ctx, d, branches, options, query); err != nil {
		return err
	}
	if err := each(branches, func(b *branch) error { return b.start(plain, nil, nil) }); err != nil {
		return err
	}
	if err := each(branches, (*branch).header); err != nil {
		return err
	}
	if err := s.raw(wire.TypeCopyOutResponse, branches[0].copy); err != nil {
		return err
	}
	isBinary := strings.EqualFold(options["format"], "binary")
	for i, b := range branches {
		skip := i > 0 && (isBinary || isOn(options["header"]))
		last := i == len(branches)-1
		err := b.copyData(func(data []byte) error {
			switch {
			case skip && isBinary:
				skip = false
				if data = withoutHeader(data); len(data) == 0 {
					return nil
				}
			case skip:
				skip = false
				return nil
			}
			if isBinary && !last && len(data) == 2 && data[0] == 0xFF && data[1] == 0xFF {
				return nil
			}
			return s.raw(wire.TypeCopyData, data)
		})
		if err != nil {
			stopAll(branches, err)
			return err
		}
	}
	if err := s.send(&wire.CopyDone{}); err != nil {
		return err
	}
	var tags []string
	for _, b := range branches {
		tags = append(tags, b.tag)
	}
	tag, err := merge.Tag(gather.TagSum, tags, 0)
	if err != nil {
		return err
	}
	return s.tagged(tag)
}

func isOn(v string) bool {
	switch strings.ToLower(v) {
	case "true", "on", "1":
		return true
	}
	return false
}

// plainConcat reports whether a query's rows are those of the shards, one after the other.
func plainConcat(d *route.Decision) bool {
	return d.Shards.Len() == 1 || d.Any || d.Merge != nil && d.Merge.Kind == gather.Concat && d.Merge.Hidden == 0 && d.Verbatim() && d.Limit < 0 && d.Offset <= 0
}

// withoutHeader takes the header off binary COPY data.
func withoutHeader(data []byte) []byte {
	const fixed = 11 + 4 + 4
	if len(data) < fixed {
		return data
	}
	n := fixed + int(binary.BigEndian.Uint32(data[fixed-4:]))
	return data[min(n, len(data)):]
}

// copyData reads the data of COPY TO.
func (b *branch) copyData(do func(data []byte) error) error {
	if b.copies != wire.TypeCopyOutResponse {
		return wire.Errorf(wire.CodeInternalError, "shard %d has not begun the COPY", b.l.shard)
	}
	for {
		typ, body, err := b.l.next()
		if err != nil {
			b.ended = true
			return err
		}
		switch typ {
		case wire.TypeCopyData:
			if err := do(body); err != nil {
				return err
			}
		case wire.TypeErrorResponse:
			return b.failed(body, false)
		case wire.TypeCommandComplete:
			b.tag, b.tagged = tagOf(body), true
			return b.finish()
		}
	}
}

// copyOptions reads the options of COPY (query) TO STDOUT.
func copyOptions(w words, at int) (map[string]string, error) {
	out := map[string]string{}
	if !w.is(at, "to") || !w.is(at+1, "stdout") {
		return nil, refuse("COPY of a query to a file or program of one server", "use COPY … TO STDOUT")
	}
	at += 2
	if w.is(at, "with") {
		at++
	}
	if !w.is(at, "(") {
		for ; at < len(w.toks); at++ {
			switch word := lex.Fold(w.toks[at].Text(w.sql)); word {
			case "binary", "csv":
				out["format"] = word
			case "header":
				out["header"] = "true"
			case "delimiter", "null", "quote", "escape":
				if w.is(at+1, "as") {
					at++
				}
				at++
				out[word] = w.value(at)
			default:
				out[word] = ""
			}
		}
		return out, nil
	}
	end := lex.Match(w.sql, w.toks, at)
	if end < 0 {
		return nil, wire.Errorf(wire.CodeSyntaxError, "syntax error in COPY")
	}
	for i := at + 1; i < end; i++ {
		if w.is(i, ",") {
			continue
		}
		name, value := w.ident(i), "true"
		if i+1 < end && !w.is(i+1, ",") {
			i++
			value = w.value(i)
			if w.is(i, "(") {
				value = "list"
				i = lex.Match(w.sql, w.toks, i)
			}
		}
		out[name] = value
	}
	return out, nil
}

// A copyFormat writes rows as COPY TO does.
type copyFormat struct {
	format        string
	header        bool
	delimiter     byte
	quote, escape byte
	null          string
}

func newCopyFormat(options map[string]string) (*copyFormat, error) {
	f := &copyFormat{format: strings.ToLower(options["format"]), header: isOn(options["header"]), delimiter: '\t', quote: '"', null: `\N`}
	if f.format == "" {
		f.format = "text"
	}
	if f.format == "csv" {
		f.delimiter, f.null = ',', ""
	}
	for name, v := range options {
		var dst *byte
		switch name {
		case "format", "header":
			continue
		case "null":
			f.null = v
			continue
		case "delimiter":
			dst = &f.delimiter
		case "quote":
			dst = &f.quote
		case "escape":
			dst = &f.escape
		}
		if dst == nil {
			return nil, refuse(fmt.Sprintf("COPY with option %s of a query whose rows must be merged", name), "leave the option out, or run the query")
		}
		if len(v) != 1 {
			return nil, wire.Errorf(wire.CodeFeatureNotSupported, "COPY %s must be a single one-byte character", name)
		}
		*dst = v[0]
	}
	if f.escape == 0 {
		f.escape = f.quote
	}
	if f.format == "text" && (f.delimiter != '\t' || f.null != `\N`) {
		return nil, refuse("COPY in text with a delimiter or null string of a query whose rows must be merged", "use the default ones, or CSV")
	}
	return f, nil
}

// copyRows runs a query and writes its rows as COPY does.
func (s *Session) copyRows(ctx context.Context, d *route.Decision, q *request, options map[string]string) error {
	f, err := newCopyFormat(options)
	if err != nil {
		return err
	}
	format := wire.Text
	if f.format == "binary" {
		format = wire.Binary
		q.extended, q.results = true, []wire.Format{wire.Binary}
	}
	a, err := s.source(ctx, d, q)
	if err != nil {
		return err
	}
	columns := make([]wire.Format, len(a.fields))
	for i := range columns {
		columns[i] = format
	}
	if err := s.send(&wire.CopyOutResponse{Format: format, Columns: columns}); err != nil {
		a.stop(err)
		return err
	}
	data := merge.CopyHeader(format)
	if f.header && f.format != "binary" {
		var head [][]byte
		for _, x := range a.fields {
			head = append(head, []byte(x.Name))
		}
		data = f.appendRow(data, head)
	}
	var values [][]byte
	n := 0
	for {
		body, err := a.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		n++
		switch {
		case err != nil:
		case f.format == "csv":
			if values, err = columnsOf(values, body); err == nil {
				data = f.appendRow(data, values)
			}
		default:
			data, err = merge.AppendCopy(data, body, format)
		}
		if err == nil {
			err = s.raw(wire.TypeCopyData, data)
			data = data[:0]
		}
		if err != nil {
			a.stop(err)
			return err
		}
	}
	if data = append(data, merge.CopyTrailer(format)...); len(data) > 0 {
		if err := s.raw(wire.TypeCopyData, data); err != nil {
			return err
		}
	}
	if _, err := a.tag(); err != nil {
		return err
	}
	if err := s.send(&wire.CopyDone{}); err != nil {
		return err
	}
	return s.tagged(fmt.Sprintf("COPY %d", n))
}

// appendRow appends a row of CSV, or the header of text.
func (f *copyFormat) appendRow(dst []byte, values [][]byte) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, f.delimiter)
		}
		switch {
		case v == nil:
			dst = append(dst, f.null...)
		case f.format != "csv" || !f.quoted(v, len(values) == 1):
			dst = append(dst, v...)
		default:
			dst = append(dst, f.quote)
			for _, c := range v {
				if c == f.quote || c == f.escape {
					dst = append(dst, f.escape)
				}
				dst = append(dst, c)
			}
			dst = append(dst, f.quote)
		}
	}
	return append(dst, '\n')
}

// quoted reports whether a value must be quoted (CopyAttributeOutCSV in copyto.c).
func (f *copyFormat) quoted(v []byte, single bool) bool {
	return string(v) == f.null || single && string(v) == `\.` || bytes.IndexByte(v, f.delimiter) >= 0 ||
		bytes.IndexByte(v, f.quote) >= 0 || bytes.IndexByte(v, '\n') >= 0 || bytes.IndexByte(v, '\r') >= 0
}
