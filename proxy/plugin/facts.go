package plugin

import (
	"encoding/binary"
	"fmt"
)

// A Kind is what sort of statement a query is.
type Kind uint32

// The kinds.
const (
	Other Kind = iota
	Select
	Insert
	Update
	Delete
	DDL
	Copy
	Setting
	Transaction
)

// Facts are what is known of a query.
type Facts struct {
	Text           string
	Kind           Kind
	Reads          bool // it writes nothing
	InTransaction  bool
	Extended       bool
	Database, User string
	Shards         int
	Tables         []string
	Keys           []Key
	Params         [][]byte // as in Bind; nil is NULL
}

// A Key is the value of a sharding key that the query names.
type Key struct {
	Table, Column string
	Value         string
	Null          bool
}

// version is the protocol's.
const version = 1

const (
	headerSize = 64
	null       = 0xFFFFFFFF
	maxRequest = 8 << 20
)

const (
	flagReads = 1 << iota
	flagInTransaction
	flagExtended
)

// AppendTo appends the request. Queries of more than 8 MiB with their parameters are an
// error.
func (f *Facts) AppendTo(b []byte) ([]byte, error) {
	size := headerSize + len(f.Text) + len(f.Database) + len(f.User) + 8*len(f.Tables) + 24*len(f.Keys) + 8*len(f.Params)
	for _, t := range f.Tables {
		size += len(t)
	}
	for i := range f.Keys {
		size += len(f.Keys[i].Table) + len(f.Keys[i].Column) + len(f.Keys[i].Value)
	}
	for _, p := range f.Params {
		size += len(p)
	}
	if size > maxRequest {
		return b, fmt.Errorf("the query is too long for plugins: %d bytes", size)
	}
	start := len(b)
	b = append(b, make([]byte, headerSize+8*len(f.Tables)+24*len(f.Keys)+8*len(f.Params))...)
	put := func(at int, v uint32) { binary.LittleEndian.PutUint32(b[start+at:], v) }
	text := func(at int, s string) {
		off := len(b) - start
		b = append(b, s...)
		put(at, uint32(off))
		put(at+4, uint32(len(s)))
	}
	var flags uint32
	for _, x := range []struct {
		on   bool
		flag uint32
	}{{f.Reads, flagReads}, {f.InTransaction, flagInTransaction}, {f.Extended, flagExtended}} {
		if x.on {
			flags |= x.flag
		}
	}
	put(0, version)
	put(4, uint32(f.Kind))
	put(8, flags)
	put(12, uint32(f.Shards))
	text(16, f.Text)
	text(24, f.Database)
	text(32, f.User)
	at := headerSize
	put(40, uint32(at))
	put(44, uint32(len(f.Tables)))
	for _, t := range f.Tables {
		text(at, t)
		at += 8
	}
	put(48, uint32(at))
	put(52, uint32(len(f.Keys)))
	for i := range f.Keys {
		k := &f.Keys[i]
		text(at, k.Table)
		text(at+8, k.Column)
		text(at+16, k.Value)
		if k.Null {
			put(at+20, null)
		}
		at += 24
	}
	put(56, uint32(at))
	put(60, uint32(len(f.Params)))
	for _, p := range f.Params {
		text(at, string(p))
		if p == nil {
			put(at+4, null)
		}
		at += 8
	}
	return b, nil
}

// A Role is which server a plugin wants.
type Role uint8

// The roles.
const (
	NoRole Role = iota
	Primary
	Replica
)

// Shards that are none.
const (
	NoShard   = -1 // no opinion
	AllShards = -2
)

// A Verdict is what a plugin says.
type Verdict struct {
	Block   bool
	Message string // for the client, if it blocks
	Role    Role
	Shard   int // NoShard, AllShards, or a shard
}

// NoOpinion is the verdict that changes nothing.
func NoOpinion() Verdict { return Verdict{Shard: NoShard} }

// parseVerdict decodes pgx_route's result; shards is how many there are.
func parseVerdict(v uint64, shards int) (Verdict, error) {
	out := Verdict{Shard: int(int32(v >> 32)), Role: Role(v >> 8)}
	action := byte(v)
	switch {
	case action > 1, out.Role > Replica, v>>16&0xFFFF != 0:
		return NoOpinion(), fmt.Errorf("the verdict %#x is none of the protocol's", v)
	case out.Shard < AllShards, out.Shard >= shards && out.Shard > 0, out.Shard == 0 && shards == 0:
		return NoOpinion(), fmt.Errorf("there is no shard %d: there are %d", out.Shard, shards)
	}
	out.Block = action == 1
	return out, nil
}
