package copysplit

import (
	"bytes"
	enc "encoding/binary"
	"slices"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// signature begins binary data (COPY, "Binary Format").
var signature = []byte("PGCOPY\n\xff\r\n\x00")

// binaryRows cuts binary data: header, tuples, trailer. Header and trailer go to all shards.
func (s *Splitter) binaryRows(p []byte) (int, error) {
	at := 0
	if !s.begun {
		n := len(signature) + 8
		if len(p) < n {
			return 0, nil
		}
		if !bytes.Equal(p[:len(signature)], signature) {
			return 0, wire.Errorf(wire.CodeBadCopyFileFormat, "COPY file signature not recognized")
		}
		extension := enc.BigEndian.Uint32(p[len(signature)+4:])
		if extension > maxRow {
			return 0, wire.Errorf(wire.CodeBadCopyFileFormat, "invalid COPY file header (wrong length)")
		}
		n += int(extension)
		if len(p) < n {
			return 0, nil
		}
		s.begun = true
		s.all(p[:n])
		at = n
	}
	for {
		n, err := s.tuple(p[at:])
		if err != nil || n == 0 {
			return at, err
		}
		at += n
		if s.ended {
			return len(p), s.behind(p[at:])
		}
	}
}

// behind refuses what stands behind the end of binary data, which servers do, too.
func (s *Splitter) behind(rest []byte) error {
	if s.format == binary && len(rest) > 0 {
		return wire.Errorf(wire.CodeBadCopyFileFormat, "received copy data after EOF marker")
	}
	return nil
}

func (s *Splitter) all(b []byte) {
	for i := range s.out {
		s.out[i] = append(s.out[i], b...)
	}
}

// tuple places the tuple at the beginning of p and returns its length; 0 if it is not
// complete.
func (s *Splitter) tuple(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, nil
	}
	count := int16(enc.BigEndian.Uint16(p))
	if count == -1 {
		s.all(p[:2])
		s.ended = true
		return 2, nil
	}
	s.line++
	if int(count) <= slices.Max(s.keyAt) {
		return 0, wire.Errorf(wire.CodeBadCopyFileFormat, "row field count is %d, which lacks the sharding key", count)
	}
	at := 2
	for col := range int(count) {
		if len(p)-at < 4 {
			s.line--
			return 0, nil
		}
		size := int32(enc.BigEndian.Uint32(p[at:]))
		at += 4
		k := slices.Index(s.keyAt, col)
		if size < 0 {
			if size != -1 {
				return 0, wire.Errorf(wire.CodeBadCopyFileFormat, "invalid field size")
			}
			if k >= 0 {
				s.values[k] = sharding.Raw{Type: s.types[k], Null: true}
			}
			continue
		}
		if len(p)-at < int(size) {
			s.line--
			return 0, nil
		}
		if k >= 0 {
			s.values[k] = sharding.Raw{Type: s.types[k], Format: hash.Format(wire.Binary), Bytes: p[at : at+int(size)]}
		}
		at += int(size)
	}
	return at, s.put(p[:at], 1)
}
