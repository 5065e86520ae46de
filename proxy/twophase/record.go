package twophase

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A kind is what a record says.
type kind byte

const (
	decided kind = 'C' // the transaction is committed
	ended   kind = 'D' // every server has committed it
)

// A record is an entry of the log.
type record struct {
	kind   kind
	name   string
	shards []int
}

// maxRecord is how long a record may be, in bytes: names are shorter than 200.
const maxRecord = 64 << 10

const recordHeader = 8

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// errTorn says that there are not enough bytes for a record.
	errTorn = errors.New("the record is not whole")
)

// appendRecord appends r to b.
func appendRecord(b []byte, r record) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, byte(r.kind))
	b = binary.AppendUvarint(b, uint64(len(r.name)))
	b = append(b, r.name...)
	b = binary.AppendUvarint(b, uint64(len(r.shards)))
	for _, s := range r.shards {
		b = binary.AppendUvarint(b, uint64(s))
	}
	body := b[at+recordHeader:]
	binary.BigEndian.PutUint32(b[at:], uint32(len(body)))
	binary.BigEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli))
	return b
}

// readRecord reads the record at the beginning of b and returns how long it is.
func readRecord(b []byte) (r record, n int, err error) {
	if len(b) < recordHeader {
		return r, 0, errTorn
	}
	size := int(binary.BigEndian.Uint32(b))
	if size == 0 || size > maxRecord {
		return r, 0, fmt.Errorf("a record of %d bytes", size)
	}
	if len(b) < recordHeader+size {
		return r, 0, errTorn
	}
	body := b[recordHeader : recordHeader+size]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return r, 0, errors.New("a record's checksum is wrong")
	}
	if r, err = decodeBody(body); err != nil {
		return r, 0, err
	}
	return r, recordHeader + size, nil
}

func decodeBody(body []byte) (r record, err error) {
	bad := errors.New("a record that cannot be read")
	number := func() (uint64, bool) {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			return 0, false
		}
		body = body[n:]
		return v, true
	}
	r.kind, body = kind(body[0]), body[1:]
	if r.kind != decided && r.kind != ended {
		return r, bad
	}
	size, ok := number()
	if !ok || size > uint64(len(body)) {
		return r, bad
	}
	r.name, body = string(body[:size]), body[size:]
	count, ok := number()
	if !ok || count > uint64(len(body)) {
		return r, bad
	}
	for range count {
		s, ok := number()
		if !ok || s > 1<<20 {
			return r, bad
		}
		r.shards = append(r.shards, int(s))
	}
	if len(body) > 0 {
		return r, bad
	}
	return r, nil
}
