package effect

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/lex"
)

// A ControlKind says what a Control does.
type ControlKind uint8

// The kinds.
const (
	Begin ControlKind = iota + 1
	Commit
	Rollback
	MakeSavepoint
	ReleaseSavepoint
	RollbackToSavepoint
	SetTransaction
)

// A Control is a statement that begins, ends or divides a transaction, or says how it is to be.
type Control struct {
	Kind ControlKind
	// Name is the savepoint's.
	Name string
	// Chain says that another transaction begins at once.
	Chain bool
	// Serializable, ReadOnly and ReadWrite are said of the transaction.
	Serializable, ReadOnly, ReadWrite bool
	// Tag is what the server says when it is done: for Commit in a transaction that has not failed.
	Tag string
}

// maxControl is how long such a statement may be, in bytes.
const maxControl = 1 << 10

// ControlOf returns what a text is that is one such statement, and nothing else: ok is false for
// others, for those that carry a hint, and for those that PostgreSQL would not take.
func (sc *Scanner) ControlOf(sql string) (c Control, ok bool) {
	if len(sql) > maxControl || !mayControl(sql) {
		return c, false
	}
	if err := sc.lex.Scan(sql); err != nil || len(sc.lex.Hints) > 0 {
		return c, false
	}
	sc.ranges = lex.Split(sc.ranges[:0], sql, sc.lex.Tokens)
	if len(sc.ranges) != 1 {
		return c, false
	}
	r := sc.ranges[0]
	st := statement{sql: sql, tokens: sc.lex.Tokens[r.From:r.To]}
	n, ok := st.control(&c)
	return c, ok && n == len(st.tokens)
}

// mayControl says, of most texts that it is not so, whether a text may be such a statement.
func mayControl(sql string) bool {
	for i := range len(sql) {
		switch sql[i] {
		case ' ', '\n', '\t', '\r', '\f', '\v':
			continue
		case 'b', 'B', 'c', 'C', 'e', 'E', 'r', 'R', 'a', 'A', 's', 'S':
			if rest := sql[i:]; len(rest) > 6 && (fold(rest[:6], "select") || fold(rest[:6], "create")) {
				return false
			}
			return true
		case '-', '/': // a comment
			return true
		}
		return false
	}
	return false
}

// control reads a statement, and returns how many of its tokens it has understood.
func (s *statement) control(c *Control) (n int, ok bool) {
	switch {
	case s.is(0, "begin"):
		c.Kind, c.Tag = Begin, "BEGIN"
		return s.modes(c, 1+s.word1("work", "transaction"))
	case s.is(0, "start") && s.is(1, "transaction"):
		c.Kind, c.Tag = Begin, "START TRANSACTION"
		return s.modes(c, 2)
	case s.is(0, "set") && s.is(1, "transaction"):
		c.Kind, c.Tag = SetTransaction, "SET"
		n, ok = s.modes(c, 2)
		return n, ok && n > 2
	case s.is(0, "commit", "end"):
		if s.is(1, "prepared") {
			return 0, false
		}
		c.Kind, c.Tag = Commit, "COMMIT"
		return s.chain(c, 1+s.word1("work", "transaction"))
	case s.is(0, "rollback", "abort"):
		if s.is(1, "prepared") {
			return 0, false
		}
		c.Kind, c.Tag = Rollback, "ROLLBACK"
		i := 1 + s.word1("work", "transaction")
		if !s.is(0, "abort") && s.is(i, "to") {
			c.Kind = RollbackToSavepoint
			return s.savepoint(c, i+1+s.skip(i+1, "savepoint"))
		}
		return s.chain(c, i)
	case s.is(0, "savepoint"):
		c.Kind, c.Tag = MakeSavepoint, "SAVEPOINT"
		return s.savepoint(c, 1)
	case s.is(0, "release"):
		c.Kind, c.Tag = ReleaseSavepoint, "RELEASE"
		return s.savepoint(c, 1+s.skip(1, "savepoint"))
	}
	return 0, false
}

// word1 is 1 if the second token is one of the words.
func (s *statement) word1(words ...string) int {
	if s.is(1, words...) {
		return 1
	}
	return 0
}

func (s *statement) savepoint(c *Control, i int) (int, bool) {
	name, ok := s.name(i)
	c.Name = name
	return i + 1, ok
}

func (s *statement) chain(c *Control, i int) (int, bool) {
	switch {
	case s.is(i, "and") && s.is(i+1, "chain"):
		c.Chain = true
		return i + 2, true
	case s.is(i, "and") && s.is(i+1, "no") && s.is(i+2, "chain"):
		return i + 3, true
	}
	return i, true
}

// modes reads transaction_mode_list_or_empty (gram.y), which may have commas.
func (s *statement) modes(c *Control, i int) (int, bool) {
	for first := true; i < len(s.tokens); first = false {
		if !first && s.is(i, ",") {
			i++
		}
		switch {
		case s.is(i, "isolation") && s.is(i+1, "level"):
			switch {
			case s.is(i+2, "serializable"):
				c.Serializable = true
				i += 3
			case s.is(i+2, "repeatable") && s.is(i+3, "read"), s.is(i+2, "read") && s.is(i+3, "committed", "uncommitted"):
				i += 4
			default:
				return i, false
			}
		case s.is(i, "read") && s.is(i+1, "only"):
			c.ReadOnly = true
			i += 2
		case s.is(i, "read") && s.is(i+1, "write"):
			c.ReadWrite = true
			i += 2
		case s.is(i, "deferrable"):
			i++
		case s.is(i, "not") && s.is(i+1, "deferrable"):
			i += 2
		default:
			return i, false
		}
	}
	return i, true
}

// Opens reports whether a text leaves a transaction open that it has begun.
func (sc *Scanner) Opens(sql string) (open bool) {
	if !mayControl(sql) && strings.IndexByte(sql, ';') < 0 || sc.lex.Scan(sql) != nil {
		return false
	}
	sc.ranges = lex.Split(sc.ranges[:0], sql, sc.lex.Tokens)
	for _, r := range sc.ranges {
		st := statement{sql: sql, tokens: sc.lex.Tokens[r.From:r.To]}
		switch {
		case st.is(0, "begin") || st.is(0, "start") && st.is(1, "transaction"):
			open = true
		case st.is(0, "commit", "end", "rollback", "abort"):
			i := 1 + st.word1("work", "transaction")
			switch {
			case st.is(i, "and") && st.is(i+1, "chain"):
				open = true
			case !st.is(i, "to", "prepared"):
				open = false
			}
		case st.is(0, "prepare") && st.is(1, "transaction"):
			open = false
		}
	}
	return open
}
