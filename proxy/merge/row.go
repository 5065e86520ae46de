package merge

import (
	"encoding/binary"

	"github.com/pgx-dev/pgx-dev/wire"
)

func badRow() error {
	return wire.Errorf(wire.CodeProtocolViolation, "a shard sent a malformed DataRow message")
}

// split returns the first n values of a DataRow of exactly count columns; nil is NULL. It
// uses values' memory.
func split(values [][]byte, body []byte, n, count int) ([][]byte, error) {
	values = values[:0]
	if len(body) < 2 || int(binary.BigEndian.Uint16(body)) != count {
		return values, badRow()
	}
	at := 2
	for range n {
		end, ok := skip(body, at)
		if !ok {
			return values, badRow()
		}
		if binary.BigEndian.Uint32(body[at:]) == null {
			values = append(values, nil)
		} else {
			values = append(values, body[at+4:end:end])
		}
		at = end
	}
	return values, nil
}

// null is the length of NULL.
const null = 1<<32 - 1

// skip returns where the value at body[at:] ends.
func skip(body []byte, at int) (end int, ok bool) {
	if len(body)-at < 4 {
		return 0, false
	}
	size := binary.BigEndian.Uint32(body[at:])
	at += 4
	if size == null {
		return at, true
	}
	if uint64(size) > uint64(len(body)-at) {
		return 0, false
	}
	return at + int(size), true
}

// cut keeps the first n of a row's columns, in place.
func cut(body []byte, n int) ([]byte, error) {
	if len(body) < 2 || int(binary.BigEndian.Uint16(body)) < n {
		return nil, badRow()
	}
	at := 2
	for range n {
		end, ok := skip(body, at)
		if !ok {
			return nil, badRow()
		}
		at = end
	}
	binary.BigEndian.PutUint16(body, uint16(n))
	return body[:at], nil
}

// appendValue appends a value, nil being NULL, as a DataRow has it.
func appendValue(dst, value []byte) []byte {
	if value == nil {
		return binary.BigEndian.AppendUint32(dst, null)
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(value))), value...)
}
