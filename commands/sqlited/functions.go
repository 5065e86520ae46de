package sqlited

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"modernc.org/sqlite"
)

// A function is one that SQLite gets from us. n is the number of arguments, -1 any.
type function struct {
	n    int32
	call func(args []driver.Value) (driver.Value, error)
}

// guarded calls a function with what a client has written. A panic below SQLite would end the
// whole process; here arguments that are none of the function's are an error.
func guarded(name string, call func([]driver.Value) (driver.Value, error), args []driver.Value) (v driver.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, stateError("42883", "function %s does not take these arguments", name)
		}
	}()
	return call(args)
}

func constant(v driver.Value) function {
	return function{-1, func([]driver.Value) (driver.Value, error) { return v, nil }}
}

func register(d *sqlite.Driver, functions map[string]function) error {
	for name, f := range functions {
		err := d.RegisterScalarFunction(name, f.n, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			return guarded(name, f.call, args)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// registerFunctions adds what the translator writes and what clients call before anything
// else.
func registerFunctions(d *sqlite.Driver, database string) error {
	if err := registerCasts(d); err != nil {
		return err
	}
	return register(d, map[string]function{
		"version": constant("PostgreSQL " + ServerVersion), "current_database": constant(database), "current_schema": constant("public"),
		"current_schemas": constant("{pg_catalog,public}"), "pg_is_in_recovery": constant(int64(0)),
		"regexp": {2, matchRegexp()}, "pg_elements": {1, elements}, "pg_array": {-1, makeArray}, "pg_from_json": {1, fromJSON},
		"pg_element": {2, element}, "array_to_string": {-1, joinArray}, "quote_ident": {1, func(args []driver.Value) (driver.Value, error) { return simpleName(textOf(args[0])), nil }},
		"quote_literal": {1, func(args []driver.Value) (driver.Value, error) { return quoteString(textOf(args[0])), nil }},
	})
}

// matchRegexp is the operator REGEXP. Go's expressions know what PostgreSQL's clients use.
func matchRegexp() func(args []driver.Value) (driver.Value, error) {
	var mu sync.Mutex
	known := map[string]*regexp.Regexp{}
	return func(args []driver.Value) (driver.Value, error) {
		if args[0] == nil || args[1] == nil {
			return nil, nil
		}
		pattern := textOf(args[0])
		mu.Lock()
		re := known[pattern]
		mu.Unlock()
		if re == nil {
			var err error
			if re, err = regexp.Compile(pattern); err != nil {
				return nil, stateError("2201B", "invalid regular expression: %v", err)
			}
			mu.Lock()
			if len(known) > 100 {
				clear(known)
			}
			known[pattern] = re
			mu.Unlock()
		}
		return b2i(re.MatchString(textOf(args[1]))), nil
	}
}

// parseArray reads a one-dimensional array as PostgreSQL or JSON writes it; nil is NULL.
func parseArray(text string) ([]*string, error) {
	if strings.HasPrefix(text, "[") {
		var list []any
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, stateError("22P02", "malformed array literal: \"%s\"", text)
		}
		var out []*string
		for _, v := range list {
			if v == nil {
				out = append(out, nil)
				continue
			}
			s := textOf(v)
			out = append(out, &s)
		}
		return out, nil
	}
	bad := stateError("22P02", "malformed array literal: \"%s\"", text)
	text = strings.TrimSpace(text)
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, bad
	}
	text = text[1 : len(text)-1]
	var out []*string
	for i := 0; strings.TrimSpace(text) != ""; {
		var b strings.Builder
		quoted := false
		for ; i < len(text) && text[i] == ' '; i++ {
		}
		if i < len(text) && text[i] == '"' {
			quoted = true
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' && i+1 < len(text) {
					i++
				}
				b.WriteByte(text[i])
			}
			if i >= len(text) {
				return nil, bad
			}
			for i++; i < len(text) && text[i] == ' '; i++ {
			}
		} else {
			for ; i < len(text) && text[i] != ','; i++ {
				if strings.IndexByte(`{}"\`, text[i]) >= 0 {
					return nil, bad
				}
				b.WriteByte(text[i])
			}
		}
		s := b.String()
		if !quoted {
			s = strings.TrimSpace(s)
		}
		switch {
		case !quoted && strings.EqualFold(s, "null"):
			out = append(out, nil)
		case !quoted && s == "":
			return nil, bad
		default:
			out = append(out, &s)
		}
		if i >= len(text) {
			break
		}
		if text[i] != ',' {
			return nil, bad
		}
		if i++; strings.TrimSpace(text[i:]) == "" {
			return nil, bad
		}
	}
	return out, nil
}

// formatArray writes an array as PostgreSQL does.
func formatArray(list []*string) string {
	var out []string
	for _, s := range list {
		switch {
		case s == nil:
			out = append(out, "NULL")
		case *s == "" || strings.EqualFold(*s, "null") || strings.ContainsAny(*s, "{},\"\\ \t\n"):
			out = append(out, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(*s)+`"`)
		default:
			out = append(out, *s)
		}
	}
	return "{" + strings.Join(out, ",") + "}"
}

// elements makes a JSON array of an array. Numbers are numbers, as a comparison with a column
// wants them.
func elements(args []driver.Value) (driver.Value, error) {
	if args[0] == nil {
		return "[]", nil
	}
	list, err := parseArray(textOf(args[0]))
	if err != nil {
		return nil, err
	}
	out := make([]any, len(list))
	for i, s := range list {
		if s == nil {
			continue
		}
		out[i] = *s
		if n, err := strconv.ParseInt(*s, 10, 64); err == nil && strconv.FormatInt(n, 10) == *s {
			out[i] = json.Number(*s)
		}
	}
	b, err := json.Marshal(out)
	return string(b), err
}

func makeArray(args []driver.Value) (driver.Value, error) {
	list := make([]*string, len(args))
	for i, a := range args {
		if a != nil {
			s := textOf(a)
			list[i] = &s
		}
	}
	return formatArray(list), nil
}

func fromJSON(args []driver.Value) (driver.Value, error) {
	list, err := parseArray(textOf(args[0]))
	return formatArray(list), err
}

func element(args []driver.Value) (driver.Value, error) {
	n, ok := args[1].(int64)
	if args[0] == nil || !ok {
		return nil, nil
	}
	list, err := parseArray(textOf(args[0]))
	if err != nil || n < 1 || n > int64(len(list)) || list[n-1] == nil {
		return nil, err
	}
	return *list[n-1], nil
}

func joinArray(args []driver.Value) (driver.Value, error) {
	if len(args) < 2 || len(args) > 3 {
		return nil, errors.New("array_to_string takes an array and a delimiter")
	}
	if args[0] == nil || args[1] == nil {
		return nil, nil
	}
	list, err := parseArray(textOf(args[0]))
	var out []string
	for _, s := range list {
		if s != nil {
			out = append(out, *s)
		} else if len(args) == 3 && args[2] != nil {
			out = append(out, textOf(args[2]))
		}
	}
	return strings.Join(out, textOf(args[1])), err
}

// functions are those of pg_catalog that look into the catalog.
func (c *catalog) functions() map[string]function {
	text := func(f func(oid int64) (string, bool)) function {
		return function{-1, func(args []driver.Value) (driver.Value, error) {
			if len(args) == 0 || args[0] == nil {
				return nil, nil
			}
			oid, err := c.resolve("regclass", args[0])
			if err != nil {
				return nil, err
			}
			if s, ok := f(oid); ok {
				return s, nil
			}
			return nil, nil
		}}
	}
	first := function{-1, func(args []driver.Value) (driver.Value, error) { return args[0], nil }}
	out := map[string]function{
		"pg_advisory_unlock_all": constant(""), // nobody can have taken one
		"pg_backend_pid":         constant(int64(c.pid)), "pg_get_userbyid": constant(c.user), "pg_my_temp_schema": constant(int64(0)),
		"pg_is_other_temp_schema": constant(int64(0)), "pg_encoding_to_char": constant("UTF8"),
		"obj_description": constant(nil), "col_description": constant(nil), "shobj_description": constant(nil),
		"pg_relation_is_publishable": constant(int64(0)), "pg_get_partkeydef": constant(nil), "pg_get_serial_sequence": constant(nil),
		"pg_partition_ancestors": constant(nil), "pg_get_function_result": constant(nil), "pg_get_function_arguments": constant(nil),
		"pg_get_function_identity_arguments": constant(nil), "pg_get_triggerdef": constant(nil), "pg_get_statisticsobjdef_columns": constant(nil), "pg_get_ruledef": constant(nil),
		"pg_table_size": constant(nil), "pg_total_relation_size": constant(nil), "pg_relation_size": constant(nil), "pg_indexes_size": constant(nil),
		"pg_database_size": constant(nil), "pg_size_pretty": first, "pg_get_expr": first, "pg_tablespace_location": constant(""),
		"pg_table_is_visible": constant(int64(1)), "pg_type_is_visible": constant(int64(1)), "pg_function_is_visible": constant(int64(1)),
		"pg_get_indexdef": {-1, c.indexDefinition},
		"pg_get_viewdef": text(func(oid int64) (string, bool) {
			for _, r := range c.relations {
				if r.oid == oid && r.kind == "v" {
					return r.text, true
				}
			}
			return "", false
		}),
		"pg_get_constraintdef": {-1, c.constraintDefinition},
		"format_type": {2, func(args []driver.Value) (driver.Value, error) {
			oid, ok := args[0].(int64)
			mod, known := args[1].(int64)
			if !known {
				mod = -1
			}
			if !ok {
				return nil, nil
			}
			return formatType(uint32(oid), mod), nil
		}},
		"current_setting": {-1, func(args []driver.Value) (driver.Value, error) {
			if v, ok := c.settings[strings.ToLower(textOf(args[0]))]; ok {
				return v, nil
			}
			if len(args) > 1 && args[1] == int64(1) {
				return nil, nil
			}
			return nil, stateError("42704", "unrecognized configuration parameter \"%s\"", textOf(args[0]))
		}},
		"pg_key_position": {2, func(args []driver.Value) (driver.Value, error) {
			for i, n := range strings.Fields(textOf(args[0])) {
				if n == textOf(args[1]) {
					return int64(i + 1), nil
				}
			}
			return nil, nil
		}},
	}
	for _, what := range []string{"table", "schema", "database", "column", "any_column", "sequence", "function", "tablespace", "type", "language"} {
		out["has_"+what+"_privilege"] = constant(int64(1))
	}
	for _, what := range []string{"regclass", "regtype", "regnamespace", "regrole", "regproc"} {
		out["pg_"+what] = function{1, func(args []driver.Value) (driver.Value, error) { return c.nameOf(what, args[0]) }}
		out["pg_to_"+what] = function{1, func(args []driver.Value) (driver.Value, error) {
			if args[0] == nil {
				return nil, nil
			}
			oid, err := c.resolve(what, args[0])
			return oid, err
		}}
		out["to_"+what] = function{1, func(args []driver.Value) (driver.Value, error) {
			if args[0] == nil {
				return nil, nil
			}
			oid, err := c.resolve(what, args[0])
			if err != nil {
				return nil, nil //nolint:nilerr // to_regclass and its like do not fail
			}
			return oid, nil // shown by its name; see readResult
		}}
	}
	return out
}

// resolve returns the OID that a name or number stands for.
func (c *catalog) resolve(what string, v driver.Value) (int64, error) {
	if n, ok := v.(int64); ok {
		return n, nil
	}
	text := strings.TrimSpace(textOf(v))
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return int64(n), nil
	}
	sh, ok := shapeOf(text)
	if !ok || len(sh.tokens) == 0 || !sh.dotted(0, len(sh.tokens)) && what != "regtype" {
		return 0, stateError("42602", "invalid name syntax: \"%s\"", text)
	}
	name, _ := sh.name(len(sh.tokens) - 1)
	schema := ""
	if len(sh.tokens) > 2 {
		schema, _ = sh.name(len(sh.tokens) - 3)
	}
	switch what {
	case "regnamespace":
		if oid, ok := map[string]int64{"public": publicNsp, "pg_catalog": catalogNsp, "information_schema": infoNsp}[name]; ok {
			return oid, nil
		}
		return 0, stateError("3F000", "schema \"%s\" does not exist", name)
	case "regrole":
		if name == c.user {
			return ownerOID, nil
		}
		return 0, stateError("42704", "role \"%s\" does not exist", name)
	case "regtype":
		for _, t := range catalogTypes() {
			switch text {
			case t.name, t.full, "pg_catalog." + t.name:
				return int64(t.oid), nil
			case t.name + "[]", t.full + "[]", "_" + t.name:
				return int64(t.array), nil
			}
		}
		return 0, stateError("42704", "type \"%s\" does not exist", text)
	case "regclass":
		if oid, ok := map[string]int64{"pg_type": 1247, "pg_attribute": 1249, "pg_proc": 1255, "pg_class": 1259, "pg_constraint": 2606, "pg_namespace": 2615, "pg_database": 1262, "pg_authid": 1260}[name]; ok && schema != "public" {
			return oid, nil
		}
		if schema == "" || schema == "public" {
			for _, r := range c.relations {
				if r.name == name { // as written: names that differ by case are others in PostgreSQL
					return r.oid, nil
				}
			}
		}
	}
	return 0, stateError("42P01", "relation \"%s\" does not exist", text)
}

// nameOf returns an object's name, or its number if it has none.
func (c *catalog) nameOf(what string, v driver.Value) (driver.Value, error) {
	if v == nil {
		return nil, nil
	}
	oid, err := c.resolve(what, v)
	if err != nil {
		return nil, err
	}
	switch {
	case oid == 0:
		return "-", nil
	case what == "regtype":
		return formatType(uint32(oid), -1), nil
	case what == "regrole" && oid == ownerOID:
		return simpleName(c.user), nil
	case what == "regnamespace":
		if s, ok := map[int64]string{publicNsp: "public", catalogNsp: "pg_catalog", infoNsp: "information_schema"}[oid]; ok {
			return s, nil
		}
	case what == "regclass":
		for _, r := range c.relations {
			if r.oid == oid {
				return simpleName(r.name), nil
			}
		}
	}
	return strconv.FormatInt(oid, 10), nil
}

// indexDefinition is pg_get_indexdef: an index, or one of its columns.
func (c *catalog) indexDefinition(args []driver.Value) (driver.Value, error) {
	oid, ok := args[0].(int64)
	for _, r := range c.relations {
		for _, x := range r.indexes {
			if !ok || x.oid != oid {
				continue
			}
			if len(args) < 2 || args[1] == int64(0) {
				return x.definition(r.name), nil
			}
			if n, ok := args[1].(int64); ok && n >= 1 && n <= int64(len(x.keys)) && x.keys[n-1] > 0 {
				return simpleName(r.columns[x.keys[n-1]-1].name), nil
			}
			return nil, nil
		}
	}
	return nil, nil
}

func (c *catalog) constraintDefinition(args []driver.Value) (driver.Value, error) {
	oid, _ := args[0].(int64)
	for _, r := range c.relations {
		for _, k := range r.keys {
			if k.oid == oid {
				return k.definition(), nil
			}
		}
		for _, x := range r.indexes {
			switch {
			case x.oid+1<<31 != oid:
			case x.primary:
				return "PRIMARY KEY (" + x.columns + ")", nil
			default:
				return "UNIQUE (" + x.columns + ")", nil
			}
		}
	}
	return nil, nil
}
