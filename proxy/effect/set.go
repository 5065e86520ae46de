package effect

import "github.com/pgx-dev/pgx-dev/proxy/route/lex"

// set reads SET from token i on (VariableSetStmt in gram.y).
func (s *statement) set(i int) {
	switch {
	case s.is(i, "local"):
		return // it ends with the transaction, and so with the loan of the connection
	case s.is(i, "session") && s.is(i+1, "characteristics"):
		s.characteristics(i + 2)
		return
	case s.is(i, "session") && !s.is(i+1, "authorization"):
		i++
	}
	switch {
	case s.is(i, "transaction", "constraints"):
	case s.is(i, "time") && s.is(i+1, "zone"):
		s.assign("timezone", i+2)
	case s.is(i, "session") && s.is(i+1, "authorization"):
		s.assign("session_authorization", i+2)
	case s.is(i, "role") && !s.is(i+1, "to", "="):
		if s.is(i+1, "none") {
			s.add(Effect{Kind: Reset, Name: "role"})
			return
		}
		s.assign("role", i+1)
	case s.is(i, "names") && !s.is(i+1, "to", "="):
		s.assign("client_encoding", i+1)
	case s.is(i, "schema") && !s.is(i+1, "to", "="):
		s.assign("search_path", i+1)
	case s.is(i, "xml") && s.is(i+1, "option"):
		s.assign("xmloption", i+2)
	default:
		name, next := s.parameter(i)
		if name != "" && s.is(next, "to", "=") {
			s.assign(name, next+1)
		}
	}
}

// parameter reads a parameter's name, which may have dots.
func (s *statement) parameter(i int) (name string, next int) {
	for {
		part, ok := s.name(i)
		if !ok {
			return "", i
		}
		name += part
		if !s.is(i+1, ".") {
			return lex.Fold(name), i + 1
		}
		name += "."
		i += 2
	}
}

// assign sets a parameter to what stands from token i to the end.
func (s *statement) assign(name string, i int) {
	if i >= len(s.tokens) {
		return
	}
	if len(s.tokens) == i+1 && (s.is(i, "default") || name == "timezone" && s.is(i, "local")) {
		s.add(Effect{Kind: Reset, Name: name})
		return
	}
	for _, t := range s.tokens[i:] {
		if t.Backslash {
			// What it means depends on another parameter.
			s.add(Effect{Kind: Pin, Name: PinSet})
			return
		}
	}
	s.add(Effect{Kind: Set, Name: name, Value: s.text(i, len(s.tokens))})
}

// characteristics reads SET SESSION CHARACTERISTICS AS TRANSACTION, which sets the defaults.
func (s *statement) characteristics(i int) {
	for ; i < len(s.tokens); i++ {
		switch {
		case s.is(i, "isolation") && s.is(i+1, "level"):
			level := ""
			switch {
			case s.is(i+2, "serializable"):
				level = "serializable"
			case s.is(i+2, "repeatable"):
				level = "repeatable read"
			case s.is(i+2, "read") && s.is(i+3, "committed", "uncommitted"):
				level = "read " + lex.Fold(s.tokens[i+3].Text(s.sql))
			default:
				return
			}
			s.add(Effect{Kind: Set, Name: "default_transaction_isolation", Value: "'" + level + "'"})
			i += 2
		case s.is(i, "read") && s.is(i+1, "only"):
			s.add(Effect{Kind: Set, Name: "default_transaction_read_only", Value: "on"})
		case s.is(i, "read") && s.is(i+1, "write"):
			s.add(Effect{Kind: Set, Name: "default_transaction_read_only", Value: "off"})
		case s.is(i, "not") && s.is(i+1, "deferrable"):
			s.add(Effect{Kind: Set, Name: "default_transaction_deferrable", Value: "off"})
			i++
		case s.is(i, "deferrable"):
			s.add(Effect{Kind: Set, Name: "default_transaction_deferrable", Value: "on"})
		}
	}
}

// reset reads RESET.
func (s *statement) reset() {
	switch {
	case s.is(1, "all") && len(s.tokens) == 2:
		s.add(Effect{Kind: ResetAll})
	case s.is(1, "time") && s.is(2, "zone"):
		s.add(Effect{Kind: Reset, Name: "timezone"})
	case s.is(1, "session") && s.is(2, "authorization"):
		s.add(Effect{Kind: Reset, Name: "session_authorization"})
	case s.is(1, "transaction") && s.is(2, "isolation"):
	default:
		if name, _ := s.parameter(1); name != "" {
			s.add(Effect{Kind: Reset, Name: name})
		}
	}
}
