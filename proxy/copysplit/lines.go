package copysplit

import (
	"bytes"
	enc "encoding/binary"
)

// mostLines is how many bytes the places of all shards' rows may take, which is about one for
// each row; the lines of what comes later are not known.
const mostLines = 64 << 20

// lines tell what line of the client's data a line of a shard's is: an error of the shard's
// server names its own. For each row there is a varint: how many lines went to other shards
// since the last one, times two, plus one if the row has more lines than one; then their number
// follows.
type lines struct {
	skips []byte
	last  int // the client's line of the last row's end
	own   int // the shard's
	most  int // bytes of skips
	full  bool
}

// add notes a row of so many lines, whose last one is the client's line.
func (l *lines) add(line, height int) {
	if l.full {
		return
	}
	if len(l.skips) > l.most {
		l.full = true
		return
	}
	skip := uint64(line-height-l.last) << 1
	if height != 1 {
		skip |= 1
	}
	if l.skips = enc.AppendUvarint(l.skips, skip); height != 1 {
		l.skips = enc.AppendUvarint(l.skips, uint64(height))
	}
	l.last, l.own = line, l.own+height
}

// client returns the client's line for one of the shard's, counted from 1; false if it is not
// known.
func (l *lines) client(line int) (int, bool) {
	client, own := 0, 0
	for rest := l.skips; len(rest) > 0; {
		skip, n := enc.Uvarint(rest)
		rest = rest[n:]
		height := uint64(1)
		if skip&1 != 0 {
			height, n = enc.Uvarint(rest)
			rest = rest[n:]
		}
		client, own = client+int(skip>>1)+int(height), own+int(height)
		if line <= own {
			return client - (own - line), true
		}
	}
	return client + line - own, !l.full && line >= 1
}

// Line returns the line of the client's data, counted from 1, that a shard's server knows by
// another number, since it got its own rows only. It is false if that is not known.
func (s *Splitter) Line(shard, line int) (int, bool) { return s.lines[shard].client(line) }

// Lines returns how many lines have been read.
func (s *Splitter) Lines() int { return s.line }

// height is how many lines the server counts for a row: those that end within quotes, too, if
// they end as the first one does (CopyReadLineText in copyfromparse.c).
func (s *Splitter) height(body []byte) int {
	switch {
	case s.format != csv:
		return 1
	case s.eol == endNewline:
		return 1 + bytes.Count(body, []byte("\n"))
	}
	return 1 + bytes.Count(body, []byte("\r"))
}
