package pgserver

import (
	"database/sql"
	"fmt"
	"strings"
)

type txCommand uint8

const (
	noTx txCommand = iota
	beginTx
	commitTx
	rollbackTx
)

// statementKind is what a SQLHandler must know of a statement.
type statementKind struct {
	tag       string // the first words, for the command tag
	reads     bool   // it returns rows and changes nothing
	returning string // the list behind RETURNING
	tx        txCommand
	recovers  bool // ROLLBACK TO SAVEPOINT
}

// ends reports a statement that a failed transaction still takes.
func (k statementKind) ends() bool { return k.tx == commitTx || k.tx == rollbackTx || k.recovers }

// complete returns the command tag.
func (k statementKind) complete(n int64) string {
	switch k.tag {
	case "INSERT":
		return fmt.Sprintf("INSERT 0 %d", n)
	case "UPDATE", "DELETE", "MERGE", "SELECT":
		return fmt.Sprintf("%s %d", k.tag, n)
	}
	return k.tag
}

// classify looks at a statement's words.
func classify(text string) statementKind {
	l := lexer{sql: text}
	first := l.word()
	for first.text == "(" {
		first = l.word()
	}
	word := strings.ToUpper(first.text)
	k := statementKind{tag: word}
	switch word {
	case "BEGIN":
		k.tx = beginTx
		return k
	case "START":
		k.tag, k.tx = "START TRANSACTION", beginTx
		return k
	case "COMMIT", "END":
		k.tag, k.tx = "COMMIT", commitTx
		return k
	case "ROLLBACK", "ABORT":
		k.tag, k.tx = "ROLLBACK", rollbackTx
		for t := l.word(); t.kind != tokEnd; t = l.word() {
			if t.is("to") {
				k.tx, k.recovers = noTx, true
			}
		}
		return k
	case "CREATE", "DROP", "ALTER":
		// CREATE TEMP TABLE is told as CREATE TABLE.
		for t := l.word(); t.kind == tokWord; t = l.word() {
			if t.is("temp") || t.is("temporary") || t.is("unique") || t.is("unlogged") || t.is("or") || t.is("replace") || t.is("virtual") {
				continue
			}
			k.tag += " " + strings.ToUpper(t.text)
			break
		}
		return k
	case "SELECT", "VALUES", "SHOW", "EXPLAIN", "PRAGMA", "TABLE", "DESCRIBE":
		k.tag, k.reads = "SELECT", true
		return k
	case "WITH", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE":
	default:
		return k
	}
	k.reads = word == "WITH"
	if word == "REPLACE" {
		k.tag = "INSERT"
	}
	if word == "WITH" {
		k.tag = "SELECT"
	}
	depth := 0
	for t := l.word(); t.kind != tokEnd; t = l.word() {
		switch {
		case t.text == "(":
			depth++
		case t.text == ")":
			depth--
		case depth > 0:
		case word == "WITH" && (t.is("insert") || t.is("update") || t.is("delete")):
			k.tag, k.reads = strings.ToUpper(t.text), false
		case t.is("returning"):
			k.returning, k.reads = strings.TrimSpace(l.rest()), false
			return k
		}
	}
	return k
}

// txOptions reads the modes of BEGIN.
func txOptions(text string) *sql.TxOptions {
	upper := strings.ToUpper(text)
	opts := &sql.TxOptions{ReadOnly: strings.Contains(upper, "READ ONLY")}
	for level, words := range map[sql.IsolationLevel]string{
		sql.LevelSerializable: "SERIALIZABLE", sql.LevelRepeatableRead: "REPEATABLE READ",
		sql.LevelReadCommitted: "READ COMMITTED", sql.LevelReadUncommitted: "READ UNCOMMITTED",
	} {
		if strings.Contains(upper, "ISOLATION LEVEL "+words) {
			opts.Isolation = level
		}
	}
	return opts
}

// returningColumns names the columns of a RETURNING list; nil for one with a star.
func returningColumns(list string) []Column {
	var out []Column
	l := lexer{sql: list}
	name, depth := "?column?", 0
	for {
		t := l.word()
		if t.kind == tokEnd || t.text == "," && depth == 0 {
			out = append(out, Text(name))
			name = "?column?"
			if t.kind == tokEnd {
				return out
			}
			continue
		}
		switch t.text {
		case "(":
			depth++
		case ")":
			depth--
		case "*":
			if depth == 0 && name == "?column?" {
				return nil
			}
		}
		if n, ok := t.name(); ok && depth == 0 {
			name = n // the last name is the alias, or the column's own
		}
	}
}
