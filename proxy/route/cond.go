package route

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// An operand is a value that is known when a statement is executed: a literal, a parameter,
// either with a cast, or NULL.
type operand struct {
	param int  // number of the parameter, from 1
	tok   int  // token of the literal
	null  bool // NULL
	neg   bool // a minus sign before a number
	typ   hash.OID
	id    bool // pgdog.unique_id()
}

// operandOf compiles n, if it is one.
func (a *analysis) operandOf(n ast.Node) (o operand, ok bool) {
	switch n := unparen(n).(type) {
	case *ast.ParamRef:
		return operand{param: n.Number}, true
	case *ast.A_Const:
		if _, null := n.Val.(*ast.Null); null || n.Isnull || n.Val == nil {
			return operand{null: true}, true
		}
		tok, ok := a.st.literal(n)
		return operand{tok: tok}, ok
	case *ast.A_Expr:
		if n.Kind == ast.AEXPR_OP && n.Lexpr == nil && opName(n) == "-" {
			o, ok = a.operandOf(n.Rexpr)
			if ok && o.param == 0 && !o.null && !o.id && o.typ == 0 && a.st.toks[o.tok].Kind == lex.Number {
				o.neg = !o.neg
				return o, true
			}
		}
	case *ast.TypeCast:
		o, ok = a.operandOf(n.Arg)
		if !ok || o.id {
			return o, false
		}
		t := a.castType(n.TypeName)
		switch {
		case t == 0:
			return o, false
		case o.typ != 0 && o.typ != t:
			return o, false // a cast of a cast may change the value
		case o.param == 0 && !o.null && a.st.toks[o.tok].Kind == lex.Number && t != hash.Int2 && t != hash.Int4 && t != hash.Int8 && t != hash.Numeric:
			return o, false // numbers as strings, dates and so on
		}
		o.typ = t
		return o, true
	case *ast.FuncCall:
		if name, _ := a.st.names(n.Funcname); len(name) == 2 && name[0] == "pgdog" && name[1] == "unique_id" && len(items(n.Args)) == 0 {
			return operand{id: true}, true
		}
	}
	return o, false
}

// castType is the type of a cast that leaves the value as it is, or 0. Types with a
// modifier might cut or round.
func (a *analysis) castType(t *ast.TypeName) hash.OID {
	if t == nil || t.Setof || t.PctType || len(items(t.Typmods)) > 0 {
		return 0
	}
	parts, _ := a.st.names(t.Names)
	name := parts[len(parts)-1]
	if len(parts) > 2 || len(parts) == 2 && parts[0] != "pg_catalog" {
		return 0
	}
	oid := map[string]hash.OID{
		"int2": hash.Int2, "int4": hash.Int4, "int8": hash.Int8, "text": hash.Text, "varchar": hash.Varchar,
		"uuid": hash.UUID, "numeric": hash.Numeric, "date": hash.Date, "timestamp": hash.Timestamp, "timestamptz": hash.Timestamptz,
		"bool": hash.Bool, "bytea": hash.Bytea,
	}[name]
	if len(items(t.ArrayBounds)) > 0 && oid != 0 {
		return hash.ArrayOf(oid)
	}
	return oid
}

func opName(n *ast.A_Expr) string {
	l := items(n.Name)
	if len(l) == 0 {
		return ""
	}
	s, ok := l[len(l)-1].(*ast.String)
	if !ok || len(l) > 1 {
		return ""
	}
	return s.SVal
}

// A cond is what a condition says of the key of one table reference.
type cond struct {
	op   condOp
	args []*cond
	cols []int       // the key columns that an equality is of, by position
	vals [][]operand // alternatives, each with one value for each of cols
	arr  *operand    // or an array of alternatives for the only one of cols
	low  *operand
	high *operand
	// below says that the value is less than high, not equal.
	below bool
}

type condOp uint8

const (
	condAll condOp = iota
	condAnd
	condOr
	condIn
	condBetween
)

// columnOf tells whether n is a key column of r, and which.
func (a *analysis) columnOf(b *block, n ast.Node, r *ref) (int, bool) {
	c, ok := a.column(b, unparen(n))
	if !ok || c.ref() != r {
		return 0, false
	}
	for i, name := range r.key.Columns {
		if name == c.name {
			return i, true
		}
	}
	return 0, false
}

// cond compiles what n, in block b, says of r's key.
func (a *analysis) cond(b *block, n ast.Node, r *ref) *cond {
	all := &cond{}
	switch n := unparen(n).(type) {
	case *ast.BoolExpr:
		if n.Boolop == ast.NOT_EXPR {
			return all
		}
		c := &cond{op: condAnd}
		if n.Boolop == ast.OR_EXPR {
			c.op = condOr
		}
		for _, arg := range items(n.Args) {
			c.args = append(c.args, a.cond(b, arg, r))
		}
		return c
	case *ast.A_Expr:
		return a.comparison(b, n, r)
	}
	return all
}

func (a *analysis) comparison(b *block, n *ast.A_Expr, r *ref) *cond {
	all := &cond{}
	switch n.Kind {
	case ast.AEXPR_OP:
		op := opName(n)
		if n.Lexpr == nil || n.Rexpr == nil {
			return all
		}
		if op == "=" {
			if row, ok := unparen(n.Lexpr).(*ast.RowExpr); ok {
				return a.rowIn(b, row, []ast.Node{n.Rexpr}, r)
			}
		}
		col, value := n.Lexpr, n.Rexpr
		i, ok := a.columnOf(b, col, r)
		if !ok {
			col, value = n.Rexpr, n.Lexpr
			if i, ok = a.columnOf(b, col, r); !ok {
				return all
			}
			op = map[string]string{"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}[op]
		}
		o, ok := a.operandOf(value)
		if !ok {
			return all
		}
		switch op {
		case "=":
			return &cond{op: condIn, cols: []int{i}, vals: [][]operand{{o}}}
		case "<", "<=":
			return &cond{op: condBetween, high: &o, below: op == "<"}
		case ">", ">=":
			return &cond{op: condBetween, low: &o}
		}
	case ast.AEXPR_IN:
		if opName(n) != "=" {
			return all
		}
		list, ok := n.Rexpr.(*ast.NodeList)
		if !ok {
			return all
		}
		if row, isRow := unparen(n.Lexpr).(*ast.RowExpr); isRow {
			return a.rowIn(b, row, list.Items, r)
		}
		i, ok := a.columnOf(b, n.Lexpr, r)
		if !ok {
			return all
		}
		c := &cond{op: condIn, cols: []int{i}}
		for _, item := range list.Items {
			o, ok := a.operandOf(item)
			if !ok {
				return all
			}
			c.vals = append(c.vals, []operand{o})
		}
		return c
	case ast.AEXPR_OP_ANY:
		if opName(n) != "=" {
			return all
		}
		i, ok := a.columnOf(b, n.Lexpr, r)
		if !ok {
			return all
		}
		return a.anyArray(i, n.Rexpr)
	case ast.AEXPR_BETWEEN:
		list, ok := n.Rexpr.(*ast.NodeList)
		if _, isKey := a.columnOf(b, n.Lexpr, r); !ok || !isKey || len(list.Items) != 2 {
			return all
		}
		low, ok1 := a.operandOf(list.Items[0])
		high, ok2 := a.operandOf(list.Items[1])
		if ok1 && ok2 {
			return &cond{op: condBetween, low: &low, high: &high}
		}
	}
	return all
}

// anyArray compiles key = ANY (array).
func (a *analysis) anyArray(col int, n ast.Node) *cond {
	n = unparen(n)
	if cast, ok := n.(*ast.TypeCast); ok {
		if _, isList := arrayItems(cast.Arg); isList && a.castType(cast.TypeName) != 0 {
			n = unparen(cast.Arg)
		}
	}
	if list, ok := arrayItems(n); ok {
		c := &cond{op: condIn, cols: []int{col}}
		for _, item := range list {
			o, ok := a.operandOf(item)
			if !ok {
				return &cond{}
			}
			c.vals = append(c.vals, []operand{o})
		}
		return c
	}
	if o, ok := a.operandOf(n); ok {
		return &cond{op: condIn, cols: []int{col}, arr: &o}
	}
	return &cond{}
}

// arrayItems are the elements of ARRAY[…].
func arrayItems(n ast.Node) ([]ast.Node, bool) {
	switch n := unparen(n).(type) {
	case *ast.A_ArrayExpr:
		return items(n.Elements), true
	case *ast.ArrayExpr:
		return items(n.Elements), true
	}
	return nil, false
}

// rowIn compiles (a, b) = (1, 2) and (a, b) IN ((1, 2), …), of which only the key's columns
// count.
func (a *analysis) rowIn(b *block, row *ast.RowExpr, alternatives []ast.Node, r *ref) *cond {
	c := &cond{op: condIn}
	var at []int
	for i, item := range items(row.Args) {
		if col, ok := a.columnOf(b, item, r); ok {
			c.cols = append(c.cols, col)
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return &cond{}
	}
	for _, alt := range alternatives {
		values, ok := unparen(alt).(*ast.RowExpr)
		if !ok || len(items(values.Args)) != len(items(row.Args)) {
			return &cond{}
		}
		var vals []operand
		for _, i := range at {
			o, ok := a.operandOf(values.Args.Items[i])
			if !ok {
				return &cond{}
			}
			vals = append(vals, o)
		}
		c.vals = append(c.vals, vals)
	}
	return c
}

// maxAlternatives bounds the combinations of key values that are looked at one by one.
const maxAlternatives = 10_000

// shards evaluates c for a key.
func (c *cond) shards(e *env, k *sharding.Key, known []alternatives) (sharding.Set, error) {
	switch c.op {
	case condAnd:
		set := k.All()
		for _, arg := range c.args {
			if arg.op == condIn && len(k.Columns) > 1 {
				known = append(slices.Clip(known), alternatives{arg})
			}
		}
		for _, arg := range c.args {
			s, err := arg.shards(e, k, known)
			if err != nil {
				return set, err
			}
			set = set.Intersect(s)
		}
		return set, nil
	case condOr:
		var set sharding.Set
		for _, arg := range c.args {
			s, err := arg.shards(e, k, known)
			if err != nil {
				return set, err
			}
			set = set.Union(s)
		}
		return set, nil
	case condIn:
		if len(k.Columns) == 1 {
			return c.single(e, k)
		}
		if !slices.Contains(known, alternatives{c}) {
			known = append(slices.Clip(known), alternatives{c})
		}
		return composite(e, k, known)
	case condBetween:
		if len(k.Columns) > 1 {
			return k.All(), nil
		}
		var low, high *sharding.Raw
		for _, p := range []struct {
			o   *operand
			dst **sharding.Raw
		}{{c.low, &low}, {c.high, &high}} {
			if p.o == nil {
				continue
			}
			v, ok := e.value(*p.o)
			if !ok {
				return k.All(), nil
			}
			*p.dst = &v
		}
		return k.Between(low, high, c.below), nil
	}
	return k.All(), nil
}

// single evaluates an equality of a key of one column.
func (c *cond) single(e *env, k *sharding.Key) (set sharding.Set, err error) {
	add := func(v sharding.Raw) error {
		if v.Null {
			return nil // = NULL is not true
		}
		e.one[0] = v
		s, err := k.Equal(e.one[:], e.lookups)
		set = set.Union(s)
		return err
	}
	if c.arr != nil {
		v, ok := e.value(*c.arr)
		if !ok {
			return k.All(), nil
		}
		if v.Null {
			return set, nil
		}
		elem := k.Types[0]
		if v.Type != 0 && v.Type != hash.Unknown {
			if elem = hash.Element(v.Type); elem == 0 {
				return k.All(), nil
			}
		}
		array := hash.ArrayOf(elem)
		if array == 0 {
			return k.All(), nil
		}
		err := hash.EachElement(array, v.Bytes, v.Format, func(b []byte, null bool) error {
			return add(sharding.Raw{Type: elem, Format: v.Format, Bytes: b, Null: null})
		})
		if _, bad := err.(*hash.ValueError); bad { //nolint:errorlint // never wrapped
			return k.All(), nil // the server will say what is wrong
		}
		return set, err
	}
	for _, alt := range c.vals {
		v, ok := e.value(alt[0])
		if !ok {
			return k.All(), nil
		}
		if err := add(v); err != nil {
			return set, err
		}
	}
	return set, nil
}

// alternatives is an equality that is known to hold.
type alternatives struct{ c *cond }

// composite combines equalities that give all columns of a key.
func composite(e *env, k *sharding.Key, known []alternatives) (sharding.Set, error) {
	rows := [][]*sharding.Raw{make([]*sharding.Raw, len(k.Columns))}
	for _, alt := range known {
		if alt.c.arr != nil {
			continue
		}
		var next [][]*sharding.Raw
		for _, row := range rows {
			for _, vals := range alt.c.vals {
				if len(next) > maxAlternatives {
					return k.All(), nil
				}
				r := append([]*sharding.Raw(nil), row...)
				isNull := false
				for i, o := range vals {
					v, ok := e.value(o)
					if !ok {
						return k.All(), nil
					}
					isNull = isNull || v.Null
					r[alt.c.cols[i]] = &v
				}
				if !isNull {
					next = append(next, r)
				}
			}
		}
		rows = next
	}
	var set sharding.Set
	values := make([]sharding.Raw, len(k.Columns))
	for _, row := range rows {
		for i, v := range row {
			if v == nil {
				return k.All(), nil
			}
			values[i] = *v
		}
		s, err := k.Equal(values, e.lookups)
		if err != nil {
			return set, err
		}
		set = set.Union(s)
	}
	return set, nil
}
