package hash

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
)

// The flags of a jsonb container (jsonb.h).
const (
	jbFobject = 0x20000000
	jbFarray  = 0x40000000
)

// jsonDepth bounds the nesting of documents; deeper ones the server can judge.
const jsonDepth = 1000

// hashJsonb is jsonb_hash_extended: the containers' flags and the scalars in iteration
// order, keys being sorted by length, then by bytes, the last of equal keys winning.
func hashJsonb(value []byte, f Format, seed uint64) (uint64, error) {
	if f == BinaryFormat {
		if len(value) < 1 || value[0] != 1 {
			return 0, malformed(Jsonb, value)
		}
		value = value[1:]
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	root, err := jsonValue(d, 0)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			err = errJSON
		}
	}
	if err != nil {
		return 0, malformed(Jsonb, value)
	}
	h := jsonHasher{seed: seed}
	switch v := root.(type) {
	case []any:
		if len(v) == 0 {
			return seed, nil
		}
	case jsonObject:
		if len(v) == 0 {
			return seed, nil
		}
	default:
		h.add(jbFarray<<32 | jbFarray) // a scalar is kept in an array of one
	}
	if err := h.value(root); err != nil {
		return 0, malformed(Jsonb, value)
	}
	return h.hash, nil
}

var errJSON = errors.New("not one JSON value")

type jsonMember struct {
	key   string
	value any
}

type jsonObject []jsonMember

func jsonValue(d *json.Decoder, depth int) (any, error) {
	if depth > jsonDepth {
		return nil, errJSON
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		object := jsonObject{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, ok := key.(string)
			if !ok {
				return nil, errJSON
			}
			v, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			object = append(object, jsonMember{name, v})
		}
		_, err := d.Token()
		return object.unique(), err
	}
	return tok, nil
}

// unique sorts by lengthCompareJsonbString and keeps the last of equal keys.
func (o jsonObject) unique() jsonObject {
	slices.SortStableFunc(o, func(a, b jsonMember) int {
		if len(a.key) != len(b.key) {
			return len(a.key) - len(b.key)
		}
		return bytes.Compare([]byte(a.key), []byte(b.key))
	})
	kept := o[:0]
	for _, m := range o {
		if n := len(kept); n > 0 && kept[n-1].key == m.key {
			kept[n-1] = m
			continue
		}
		kept = append(kept, m)
	}
	return kept
}

type jsonHasher struct{ hash, seed uint64 }

func (h *jsonHasher) add(flags uint64) { h.hash ^= flags }

// scalar is the end of JsonbHashScalarValueExtended.
func (h *jsonHasher) scalar(v uint64) { h.hash = rotate(h.hash) ^ v }

func (h *jsonHasher) value(v any) error {
	switch v := v.(type) {
	case []any:
		h.add(jbFarray<<32 | jbFarray)
		for _, e := range v {
			if err := h.value(e); err != nil {
				return err
			}
		}
	case jsonObject:
		h.add(jbFobject<<32 | jbFobject)
		for _, m := range v {
			h.scalar(Bytes([]byte(m.key), h.seed))
			if err := h.value(m.value); err != nil {
				return err
			}
		}
	case nil:
		h.scalar(h.seed + 1)
	case bool:
		b := uint32(0)
		if v {
			b = 1
		}
		h.scalar(Uint32(b, h.seed))
	case string:
		h.scalar(Bytes([]byte(v), h.seed))
	case json.Number:
		n, err := ParseNumeric([]byte(v), TextFormat)
		if err != nil {
			return err
		}
		h.scalar(n.hash(h.seed))
	}
	return nil
}
