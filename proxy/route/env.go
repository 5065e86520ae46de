package route

import (
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A Binding is what is known of one execution beyond its text.
type Binding struct {
	// Types are the parameters' types, as Parse declared them or the server described them;
	// 0, and whatever is beyond the end, is not known.
	Types []hash.OID
	// Formats are the parameters' formats as in Bind: none (all text), one for all, or one
	// for each.
	Formats []int16
	// Values are the parameters' values; nil is NULL. A nil slice means that the values are
	// not known yet (Parse without Bind): everything that depends on them is left open.
	Values [][]byte
	// Lookups are the results of lookup queries. Nil: none is known.
	Lookups sharding.Lookups
	// UniqueID makes a value for pgdog.unique_id(). Nil: such statements are refused.
	UniqueID func() int64
}

// env evaluates operands.
type env struct {
	sql     string
	toks    []lex.Token
	bind    *Binding
	lookups sharding.Lookups
	one     [1]sharding.Raw
	from    Encoding // of the text and the values
	buf     []byte
	neg     []byte
}

// value returns an operand's value; false if it is not known, or not in the servers' encoding.
func (e *env) value(o operand) (sharding.Raw, bool) {
	v, ok := e.given(o)
	if e.from != UTF8 && ok && !e.from.Comparable(v) {
		return sharding.Raw{Type: v.Type}, false
	}
	return v, ok
}

// given returns an operand's value as it came.
func (e *env) given(o operand) (sharding.Raw, bool) {
	switch {
	case o.null:
		return sharding.Raw{Null: true}, true
	case o.id:
		return sharding.Raw{}, false
	case o.param > 0:
		return e.param(o)
	}
	t := e.toks[o.tok]
	if t.Kind == lex.Number {
		text := e.sql[t.Start:t.End]
		typ := o.typ
		if typ == 0 {
			typ = numberType(text)
		}
		if o.neg {
			e.neg = append(append(e.neg[:0], '-'), text...)
			return sharding.Raw{Type: typ, Bytes: e.neg}, true
		}
		start := len(e.buf)
		e.buf = append(e.buf, text...)
		return sharding.Raw{Type: typ, Bytes: e.buf[start:]}, true
	}
	start := len(e.buf)
	buf, ok := t.AppendValue(e.buf, e.sql)
	e.buf = buf
	return sharding.Raw{Type: o.typ, Bytes: buf[start:]}, ok
}

func (e *env) param(o operand) (sharding.Raw, bool) {
	i := o.param - 1
	if e.bind == nil || i >= len(e.bind.Values) {
		return sharding.Raw{}, false
	}
	v := sharding.Raw{Type: o.typ, Bytes: e.bind.Values[i], Null: e.bind.Values[i] == nil}
	if i < len(e.bind.Types) && e.bind.Types[i] != 0 {
		if o.typ != 0 && o.typ != e.bind.Types[i] && e.bind.Types[i] != hash.Unknown {
			// The cast converts at the server. Between integers it keeps the value.
			if !isInt(o.typ) || !isInt(e.bind.Types[i]) {
				return v, v.Null
			}
		}
		v.Type = e.bind.Types[i]
	}
	switch n := len(e.bind.Formats); {
	case n == 1:
		v.Format = hash.Format(e.bind.Formats[0])
	case i < n:
		v.Format = hash.Format(e.bind.Formats[i])
	}
	return v, true
}

func isInt(t hash.OID) bool { return t == hash.Int2 || t == hash.Int4 || t == hash.Int8 }

// numberType is the type of a numeric literal (make_const in parse_node.c).
func numberType(text string) hash.OID {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return hash.Numeric
		}
	}
	switch {
	case len(text) < 10:
		return hash.Int4
	case len(text) < 19:
		return hash.Int8
	}
	if _, err := hash.Int(hash.Int8, []byte(text), hash.TextFormat); err == nil {
		return hash.Int8
	}
	return hash.Numeric
}
