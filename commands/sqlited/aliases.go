package sqlited

// What stands behind FROM and JOIN in PostgreSQL's way: names for the columns of a query in
// brackets, and functions that return rows.
//
//	FROM (VALUES …) s(a, b)      FROM (WITH s(a, b) AS (VALUES …) SELECT * FROM s) s
//	FROM unnest(array) x         FROM (SELECT value AS x FROM json_each(pg_elements(array))) x

// behindFrom says that the token at i begins a table.
func (t *translator) behindFrom(i int) bool {
	if i >= 2 && t.tokens[i-1].Is(t.sql, ".") {
		i -= 2 // the schema
	}
	return i >= 1 && (t.tokens[i-1].Is(t.sql, "from") || t.tokens[i-1].Is(t.sql, "join"))
}

// closing returns the index of the bracket that closes the one at i, or 0.
func (t *translator) closing(i int) int {
	depth := 0
	for ; i < len(t.tokens); i++ {
		switch {
		case t.tokens[i].Is(t.sql, "("):
			depth++
		case t.tokens[i].Is(t.sql, ")"):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return 0
}

// alias returns the name that token i and the next give what stands before them, as written,
// and the index behind it.
func (t *translator) alias(i int) (name string, next int) {
	if i < len(t.tokens) && t.tokens[i].Is(t.sql, "as") {
		i++
	}
	if i >= len(t.tokens) {
		return "", i
	}
	name, ok := shape{sql: t.sql, tokens: t.tokens}.name(i)
	if !ok || noOperand(name) {
		return "", i
	}
	return t.tokens[i].Text(t.sql), i + 1
}

// namedColumns begins a query in brackets whose columns get names behind it; false is for
// another bracket.
func (t *translator) namedColumns() bool {
	if !t.behindFrom(t.at) || !t.is(1, "values") && !t.is(1, "select") {
		return false
	}
	end := t.closing(t.at)
	name, list := t.alias(end + 1)
	if end == 0 || name == "" || list >= len(t.tokens) || !t.tokens[list].Is(t.sql, "(") {
		return false
	}
	last := t.closing(list)
	if last == 0 {
		return false
	}
	columns := t.sql[t.tokens[list].Start:t.tokens[last].End]
	t.groups = append(t.groups, group{start: len(t.out), open: len(t.out), end: ") SELECT * FROM " + name + ")"})
	t.put(" (WITH "+name+columns+" AS (", -1)
	if t.skips == nil {
		t.skips = map[int]int{}
	}
	t.skips[list] = last
	return true
}

// unnest begins the function of that name behind FROM.
func (t *translator) unnest() bool {
	if !t.behindFrom(t.at) || !t.is(1, "(") {
		return false
	}
	name, _ := t.alias(t.closing(t.at+1) + 1)
	end := ")))"
	if name == "" {
		name, end = "unnest", end+" AS unnest"
	}
	t.at++
	t.groups = append(t.groups, group{start: len(t.out), open: len(t.out), end: end})
	t.put(" (SELECT value AS "+name+" FROM json_each(pg_elements(", -1)
	return true
}
