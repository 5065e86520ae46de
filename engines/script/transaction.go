package script

import (
	"fmt"
	"slices"
	"strings"
)

// dumpMark begins what pg_dump writes in plain text (RestoreArchive in pg_backup_archiver.c).
const dumpMark = "-- PostgreSQL database dump"

// withinTransaction returns the steps of a file that is to run in one transaction. What
// would begin or end that transaction is an error, because a file that then fails leaves
// half of itself behind. Two things say no more than what is done anyway, and are taken out:
// a BEGIN and COMMIT around the whole file, and those that pg_dump writes around each large
// object.
func withinTransaction(name, src string, steps []step) ([]step, error) {
	comments, _ := Body(src)
	dumped := strings.Contains(src[:len(src)-len(comments)], dumpMark)
	last := len(steps) - 1
	wrapped := last > 0 && plain(src, steps[0]) == "begin" && plain(src, steps[last]) == "commit"
	var kept []step
	for i, st := range steps {
		command := controls(src[st.start:st.end])
		switch {
		case command == "":
			kept = append(kept, st)
		case wrapped && (i == 0 || i == last), dumped && plain(src, st) != "":
		default:
			return nil, &Error{name, lineAt(src, st.start), fmt.Errorf(
				"%s: the file runs in one transaction, to take effect as a whole or not at all; take transaction control out, or let the file begin with %q to run its statements one by one",
				command, NoTransaction)}
		}
	}
	return kept, nil
}

// plain returns "begin" or "commit" for a statement that is that and nothing more.
func plain(src string, st step) string {
	switch strings.ToLower(strings.Join(strings.Fields(src[st.start:st.end]), " ")) {
	case "begin", "begin work", "begin transaction", "start transaction":
		return "begin"
	case "commit", "commit work", "commit transaction", "end", "end work", "end transaction":
		return "commit"
	}
	return ""
}

// controls returns the name of a command that begins or ends a transaction
// (TransactionStmt in gram.y), or "". Savepoints do neither.
func controls(stmt string) string {
	s := scanner{src: stmt}
	for s.pos < len(stmt) && len(s.words) < 4 {
		s.step()
	}
	w := s.words
	if len(w) == 0 {
		return ""
	}
	second := ""
	if len(w) > 1 {
		second = w[1]
	}
	switch w[0] {
	case "begin", "commit", "end", "abort":
		return strings.ToUpper(w[0])
	case "start":
		if second == "transaction" {
			return "START TRANSACTION"
		}
	case "rollback":
		if !slices.Contains(w[1:], "to") {
			return "ROLLBACK"
		}
	case "prepare":
		// PREPARE transaction AS … prepares a statement of that name.
		if second == "transaction" && len(w) == 2 {
			return "PREPARE TRANSACTION"
		}
	}
	return ""
}
