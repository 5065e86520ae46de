package scatter

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
	"github.com/pgx-dev/pgx-dev/wire"
)

// set is SET and RESET.
func (s *Session) set(ctx context.Context, q *request) error {
	w, err := scan(q.sql)
	if err != nil {
		return err
	}
	at, local := 1, false
	if w.is(at, "local", "session") && !w.is(at+1, "to", "=", ".") {
		local = w.is(at, "local")
		at++
	}
	name := w.ident(at)
	value := at + 1
	if w.is(at+1, ".") {
		name += "." + w.ident(at+2)
		value = at + 3
	}
	reset := w.is(0, "reset")
	if !reset && w.is(value, "to", "=") {
		value++
	}
	switch {
	case w.is(at, "time") && w.is(at+1, "zone"):
		name = "timezone"
	case w.is(at, "names"):
		name = "client_encoding"
	case w.is(at, "authorization"), w.is(at, "session") && w.is(at+1, "authorization"):
		name = "session_authorization"
	}
	name = strings.ToLower(name)
	isDefault := reset || w.is(value, "default") && value == len(w.toks)-1
	if strings.HasPrefix(name, "pgdog.") {
		return s.setHint(w, name, value, isDefault, local)
	}
	if reset && name == "all" {
		return s.resetAll(ctx, w)
	}
	path := s.state.Path
	if name == "search_path" {
		path = nil
		if !isDefault {
			path = searchPath(w, value)
		}
	}
	if local {
		if !s.tx.open() {
			if err := s.notice(wire.SeverityWarning, wire.CodeNoActiveSQLTransaction, "SET LOCAL can only be used in transaction blocks"); err != nil {
				return err
			}
			return s.tagged("SET")
		}
		for _, l := range s.parts() {
			if _, err := l.exec(w.sql); err != nil {
				return err
			}
		}
		if len(s.parts()) == 0 {
			// A shard says whether the value is good.
			l, err := s.acquire(ctx, s.sticky, route.Primary)
			if err != nil {
				return err
			}
			if _, err := l.exec(w.sql); err != nil {
				return err
			}
		}
		s.tx.replay = append(s.tx.replay, replayed{sql: trim(w.sql)})
		if name == "search_path" {
			s.tx.local(s.state.Path)
			s.state.Path = path
		}
		return s.tagged("SET")
	}
	tag := map[bool]string{true: "RESET", false: "SET"}[reset]
	if err := s.change(ctx, name, w.sql); err != nil {
		return err
	}
	if isDefault && !s.tx.open() {
		s.settings = s.settings.without(name)
		for _, l := range s.links {
			if l != nil && l.settings != nil {
				l.settings = nil
			}
		}
	}
	s.state.Path = path
	if name == "standard_conforming_strings" {
		s.state.EscapeStrings = !isDefault && (w.is(value, "off", "false") || strings.EqualFold(w.value(value), "off"))
	}
	return s.tagged(tag)
}

// local remembers the search path of before SET LOCAL for the transaction's end.
func (t *transaction) local(path []string) {
	if !t.localPath {
		t.localPath, t.path = true, path
	}
}

func trim(sql string) string { return strings.TrimRight(strings.TrimSpace(sql), "; \n\t") }

// change makes a setting in the session: on every shard of the transaction, or on one, which
// says whether it is good; the others learn of it when they are used.
func (s *Session) change(ctx context.Context, name, sql string) error {
	settings := s.settings.with(name, trim(sql))
	if s.tx.open() {
		parts := s.parts()
		if len(parts) == 0 {
			l, err := s.acquire(ctx, s.sticky, route.Primary)
			if err != nil {
				return err
			}
			parts = []*link{l}
		}
		for _, l := range parts {
			if _, err := l.exec(sql); err != nil {
				return err
			}
		}
		s.tx.replay = append(s.tx.replay, replayed{sql: trim(sql)})
		s.settings = settings
		return nil
	}
	shards := []int{s.sticky}
	for _, l := range s.links {
		if l != nil && l.shard != s.sticky {
			shards = append(shards, l.shard)
		}
	}
	for _, shard := range shards {
		l, err := s.acquire(ctx, shard, route.Primary)
		if err != nil {
			return err
		}
		if _, err := l.exec(sql); err != nil {
			l.settings = nil
			return err
		}
		if l.settings != nil {
			l.settings = settings
		}
	}
	s.settings = settings
	return nil
}

// resetAll is RESET ALL.
func (s *Session) resetAll(ctx context.Context, w words) error {
	if s.tx.open() {
		if err := s.change(ctx, "all", w.sql); err != nil {
			return err
		}
	} else {
		s.settings = s.base
		for _, l := range s.links {
			if l != nil {
				if _, err := l.exec(w.sql); err != nil {
					return err
				}
				l.settings = nil
			}
		}
	}
	s.state.Path, s.state.EscapeStrings, s.state.ReadOnly = nil, false, false
	s.state.Hint = s.baseHint
	return s.tagged("RESET")
}

// setHint is SET of a parameter of the router's own.
func (s *Session) setHint(w words, name string, at int, isDefault, local bool) error {
	var value strings.Builder
	if !isDefault {
		for i := at; i < len(w.toks); i++ {
			value.WriteString(w.value(i))
		}
	}
	h := s.state.Hint
	known, err := h.Set(name, value.String())
	if known && isDefault {
		h = h.Reset(name, s.baseHint)
	}
	switch {
	case err != nil:
		return err
	case !known:
		return wire.Errorf(wire.CodeUndefinedObject, "unrecognized configuration parameter %q", name)
	case local && !s.tx.open():
		if err := s.notice(wire.SeverityWarning, wire.CodeNoActiveSQLTransaction, "SET LOCAL can only be used in transaction blocks"); err != nil {
			return err
		}
		return s.tagged("SET")
	case local:
		if !s.tx.localHint {
			s.tx.localHint, s.tx.hint = true, s.state.Hint
		}
	}
	s.state.Hint = h
	return s.tagged(map[bool]string{true: "RESET", false: "SET"}[w.is(0, "reset")])
}

// show answers SHOW of the router's own parameters.
func (s *Session) show(d *route.Decision, q *request) (bool, error) {
	w, err := scan(q.sql)
	if err != nil {
		return true, err
	}
	if !w.is(1, "pgdog") || !w.is(2, ".") {
		return false, nil
	}
	name, value, h := "pgdog."+w.ident(3), "", s.state.Hint
	switch w.ident(3) {
	case "shard":
		if h.Shard >= 0 {
			value = join([]int{h.Shard})
		}
	case "sharding_key":
		value = h.Key
	case "role":
		if h.HasRole {
			value = h.Role.String()
		}
	case "unique_id":
		if s.ex.cfg.UniqueID == nil {
			return true, refuse("pgdog.unique_id() needs a generator", "give values as literals or parameters")
		}
		value = strconv.FormatInt(s.ex.cfg.UniqueID(), 10)
	case "shards":
		value = join([]int{s.ex.cfg.Layout.Shards})
	default:
		return true, wire.Errorf(wire.CodeUndefinedObject, "unrecognized configuration parameter %q", name)
	}
	return true, s.lines(name, []string{value}, "SHOW", !q.extended)
}

// searchPath reads the value of SET search_path, without "$user", which is no schema of the
// router's.
func searchPath(w words, at int) []string {
	out := []string{}
	for ; at < len(w.toks); at++ {
		if w.toks[at].Kind == lex.Punct {
			continue
		}
		v := w.value(at)
		if v == "$user" || v == "" {
			continue
		}
		out = append(out, v)
	}
	return out
}

// observe notes what a statement has done to the session that only its text tells.
func (s *Session) observe(d *route.Decision, q *request) {
	text := q.sql
	switch d.Plan.Class {
	case route.Select:
		if containsFold(text, "set_config") {
			s.observeConfig(text)
		}
		if containsFold(text, "pg_advisory_lock") || containsFold(text, "pg_try_advisory_lock") {
			s.pinned = true
		}
	case route.DDL:
		if containsFold(text, "temp") {
			w, err := scan(text)
			if err == nil && w.is(0, "create") && slices.ContainsFunc([]int{1, 2, 3}, func(i int) bool { return w.is(i, "temp", "temporary") }) {
				s.pinned = true
			}
		}
	case route.Utility:
		if containsFold(text, "load") && firstWord(text) == "load" {
			s.pinned = true
		}
	}
}

func containsFold(s, word string) bool {
	n := len(word)
	for i := 0; i+n <= len(s); i++ {
		if strings.EqualFold(s[i:i+n], word) {
			return true
		}
	}
	return false
}

// observeConfig notes SELECT set_config('name', 'value', local).
func (s *Session) observeConfig(text string) {
	w, err := scan(text)
	if err != nil {
		return
	}
	for _, l := range s.links {
		if l != nil {
			l.settings = nil
		}
	}
	for i := range w.toks {
		if !w.is(i, "set_config") || !w.is(i+1, "(") || !w.is(i+3, ",") || !w.is(i+5, ",") || !w.is(i+7, ")") ||
			w.toks[i+2].Kind != lex.String || w.toks[i+4].Kind != lex.String {
			continue
		}
		name, value := strings.ToLower(w.value(i+2)), w.value(i+4)
		sql := "SELECT pg_catalog." + w.text(i, i+8)
		if w.is(i+6, "true") {
			if s.tx.open() {
				s.tx.replay = append(s.tx.replay, replayed{sql: sql})
			}
			continue
		}
		s.settings = s.settings.with(name, sql)
		if s.tx.open() {
			s.tx.replay = append(s.tx.replay, replayed{sql: sql})
		}
		if name == "search_path" {
			if v, err := scan(value); err == nil {
				s.state.Path = searchPath(v, 0)
			}
		}
	}
}
