package sharding

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
)

var errUncomparable = errors.New("the value's type is not that of the key")

// ErrUnmapped reports a key value that no rule names: no shard may hold such a row.
var ErrUnmapped = errors.New("no shard is configured for this key")

// A NeedLookup error asks the caller to run a lookup query and to route again once
// [Lookups] knows the result.
type NeedLookup struct {
	Query string
	Value []byte // the query's $1, as text
}

// Error says what is missing.
func (e *NeedLookup) Error() string {
	return fmt.Sprintf("the shard of key %q has to be looked up", e.Value)
}

// Lookups are the results of lookup queries that are known. found is false if it has not
// been asked yet; result is nil if there was no row.
type Lookups interface {
	Lookup(query string, value []byte) (result []byte, found bool)
}

// A Key is the sharding key of a table.
type Key struct {
	Columns  []string
	Types    []hash.OID
	Function Function

	schema, table string
	shards        int
	id            string
	list          []listed
	spans         []span
	fallback      int
	centroids     [][]float32
	probes        int
	query         string
	lookupValue   bool
}

type listed struct {
	value key
	text  string
	shard int
}

type span struct {
	start, end *key
	text       string
	shard      int
}

// Colocated reports whether rows of k and o with equal keys are on the same shard.
func (k *Key) Colocated(o *Key) bool { return k == o || k.id == o.id }

// Identity is the same text for keys whose equal values are on the same shard, in every process.
func (k *Key) Identity() string { return k.id }

// All are all shards.
func (k *Key) All() Set { return First(k.shards) }

// Query is the lookup query, empty for other functions.
func (k *Key) Query() string { return k.query }

// Probes is how many centroids a search by distance asks; 0 is all.
func (k *Key) Probes() int { return k.probes }

// Equal returns the shards that can hold rows whose key columns equal values (one for each
// column, none NULL unless it is to be stored: equality with NULL is never true). If the
// values cannot be understood, all shards can. The error is a *[NeedLookup].
func (k *Key) Equal(values []Raw, lookups Lookups) (Set, error) {
	shard, err := k.Place(values, lookups)
	if err == nil {
		return One(shard), nil
	}
	var need *NeedLookup // which costs memory, but not on the usual path
	switch {
	case errors.As(err, &need):
		return Set{}, err
	case errors.Is(err, errNoRow):
		return Set{}, nil
	}
	return k.All(), nil
}

// errNoRow reports a value that no row can have.
var errNoRow = errors.New("no value of the key's type")

// Place returns the shard on which a row with these key values is to be stored. The error
// is a *[NeedLookup], wraps ErrUnmapped or a *[hash.ValueError], or says what is wrong.
func (k *Key) Place(values []Raw, lookups Lookups) (int, error) {
	switch k.Function {
	case Hash:
		return k.hash(values)
	case Sha1:
		v := values[0]
		as, ok := effective(k.Types[0], v)
		if v.Null || !ok || as == hash.Numeric {
			return 0, errUncomparable
		}
		h, err := hash.Sha1(as, v.Bytes, v.Format)
		return int(h % uint64(k.shards)), err
	case Mapped:
		return k.mapped(values[0])
	case Centroids:
		near, ok := k.nearest(values[0], 1)
		if !ok {
			return 0, errUncomparable
		}
		return near.Lowest(), nil
	}
	return k.lookup(values[0], lookups)
}

func (k *Key) hash(values []Raw) (int, error) {
	row := uint64(0)
	for i, v := range values {
		if v.Null {
			continue
		}
		t := k.Types[i]
		as, ok := effective(t, v)
		if !ok {
			return 0, errUncomparable
		}
		var h uint64
		var err error
		switch {
		case integral(t) && as == hash.Numeric:
			var p key
			if p, ok, err = parse(t, v); err != nil {
				return 0, err
			} else if !ok {
				return 0, errNoRow
			}
			h = hash.Int64(p.i, hash.Seed)
		case t == hash.Numeric && integral(as):
			n, err := hash.Int(as, v.Bytes, v.Format)
			if err != nil {
				return 0, err
			}
			if h, err = hash.Hash(t, fmt.Append(nil, n), hash.TextFormat, hash.Seed); err != nil {
				return 0, err
			}
		default:
			if h, err = hash.Hash(as, v.Bytes, v.Format, hash.Seed); err != nil {
				return 0, err
			}
		}
		row = hash.Row(row, h)
	}
	return int(row % uint64(k.shards)), nil
}

func (k *Key) mapped(v Raw) (int, error) {
	if !v.Null {
		p, ok, err := parse(k.Types[0], v)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, errNoRow
		}
		if i, found := sort.Find(len(k.list), func(i int) int { return p.compare(k.list[i].value) }); found {
			return k.list[i].shard, nil
		}
		for _, s := range k.spans {
			if (s.start == nil || p.compare(*s.start) >= 0) && (s.end == nil || p.compare(*s.end) < 0) {
				return s.shard, nil
			}
		}
	}
	if k.fallback >= 0 {
		return k.fallback, nil
	}
	return 0, ErrUnmapped
}

// Between returns the shards that can hold keys from low to high, both included if they are
// not nil, but high not if below is set. Only ranges of a type that the server orders as we do narrow the set.
func (k *Key) Between(low, high *Raw, below bool) Set {
	if k.Function != Mapped || !ordered(k.Types[0]) {
		return k.All()
	}
	bound := func(v *Raw) (*key, bool) {
		if v == nil {
			return nil, true
		}
		if as, ok := effective(k.Types[0], *v); !ok || as == hash.Numeric && k.Types[0] != hash.Numeric {
			return nil, false
		}
		p, ok, err := parse(k.Types[0], *v)
		return &p, ok && err == nil
	}
	for _, v := range []*Raw{low, high} {
		if v != nil && v.Null {
			return Set{} // a comparison with NULL is not true
		}
	}
	lo, ok1 := bound(low)
	hi, ok2 := bound(high)
	if !ok1 || !ok2 {
		return k.All()
	}
	var set Set
	for _, l := range k.list {
		if (lo == nil || l.value.compare(*lo) >= 0) && (hi == nil || l.value.compare(*hi) <= 0) {
			set.Add(l.shard)
		}
	}
	for _, s := range k.spans {
		if (hi == nil || s.start == nil || s.start.compare(*hi) < 0 || !below && s.start.compare(*hi) == 0) && (lo == nil || s.end == nil || s.end.compare(*lo) > 0) {
			set.Add(s.shard)
		}
	}
	if k.fallback >= 0 {
		set.Add(k.fallback)
	}
	return set
}

// Nearest returns the shards of the centroids that are nearest to a vector, as many as the
// configuration probes; all, if it says nothing or v is no vector.
func (k *Key) Nearest(v Raw) Set {
	if k.Function == Centroids && k.probes > 0 && !v.Null {
		if set, ok := k.nearest(v, k.probes); ok {
			return set
		}
	}
	return k.All()
}

func (k *Key) nearest(v Raw, n int) (Set, bool) {
	if v.Null {
		return Set{}, false
	}
	x, ok := vector(v)
	if !ok || len(x) != len(k.centroids[0]) {
		return Set{}, false
	}
	distance := make([]float64, len(k.centroids))
	order := make([]int, len(k.centroids))
	for i, c := range k.centroids {
		order[i] = i
		for j := range c {
			d := float64(x[j]) - float64(c[j])
			distance[i] += d * d
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case distance[a] < distance[b]:
			return -1
		case distance[a] > distance[b]:
			return 1
		}
		return 0
	})
	var set Set
	for _, i := range order[:n] {
		set.Add(i % k.shards)
	}
	return set, true
}

func (k *Key) lookup(v Raw, lookups Lookups) (int, error) {
	as, ok := effective(k.Types[0], v)
	if v.Null || !ok {
		return 0, errUncomparable
	}
	text := v.Bytes
	if v.Format == hash.BinaryFormat {
		switch {
		case integral(as):
			n, err := hash.Int(as, v.Bytes, v.Format)
			if err != nil {
				return 0, err
			}
			text = fmt.Append(nil, n)
		case as == hash.UUID && len(v.Bytes) == 16:
			b := v.Bytes
			text = fmt.Appendf(nil, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		case !textual(as):
			return 0, errUncomparable
		}
	}
	if lookups == nil {
		return 0, &NeedLookup{k.query, slices.Clone(text)}
	}
	result, found := lookups.Lookup(k.query, text)
	switch {
	case !found:
		return 0, &NeedLookup{k.query, slices.Clone(text)}
	case result == nil:
		return 0, ErrUnmapped
	case k.lookupValue:
		t := hash.Int8
		if len(k.Types) > 1 {
			t = k.Types[1]
		}
		h, err := hash.Hash(t, result, hash.TextFormat, hash.Seed)
		return int(hash.Row(0, h) % uint64(k.shards)), err
	}
	n, err := hash.Int(hash.Int4, result, hash.TextFormat)
	if err != nil || n < 0 || n >= int64(k.shards) {
		return 0, fmt.Errorf("the lookup of key %q gave %q, which is no shard", text, result)
	}
	return int(n), nil
}

// Rename is k with other names for its columns, as an alias list or a sub-query gives them.
func (k *Key) Rename(columns []string) *Key {
	c := *k
	c.Columns = columns
	return &c
}

// WithTypes is k for columns of these types. The error says why k does not fit them.
func (k *Key) WithTypes(types []hash.OID) (*Key, error) {
	if len(types) != len(k.Columns) {
		return nil, fmt.Errorf("%d types for %d columns", len(types), len(k.Columns))
	}
	if k.Function == Centroids || k.Function == Lookup && len(k.Types) != len(types) || slices.Equal(types, k.Types) {
		return k, nil
	}
	c := *k
	c.Types = slices.Clone(types)
	for i, t := range types {
		switch {
		case k.Function == Hash && hash.Known(t), integral(t) && integral(k.Types[i]), textual(t) && textual(k.Types[i]):
		case k.Function == Mapped && t != k.Types[i], !hash.Known(t):
			return nil, fmt.Errorf("column %s is of type %s, the mapping of %s", k.Columns[i], hash.TypeName(t), hash.TypeName(k.Types[i]))
		}
	}
	c.id = c.identity(Table{Centroids: k.centroids, LookupQuery: k.query, LookupValue: k.lookupValue})
	return &c, nil
}
