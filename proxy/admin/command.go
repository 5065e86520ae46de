package admin

import (
	"fmt"
	"strings"
)

// A verb is a command with what it takes.
type verb struct {
	name     string // in capitals, words parted by one space
	min, max int    // words behind it
	args     string // for people
	help     string
}

// verbs lists the commands: those of PgDog, and those that PgBouncer has besides.
func verbs() []verb {
	return []verb{
		{"RELOAD", 0, 0, "", "read the configuration again; pools that did not change stay"},
		{"RECONNECT", 0, 1, "[DATABASE]", "replace the server connections as they become free"},
		{"PAUSE", 0, 1, "[DATABASE]", "let transactions end, then hold clients"},
		{"RESUME", 0, 1, "[DATABASE]", "let held clients go on"},
		{"SUSPEND", 0, 0, "", "as PAUSE, at once for clients between messages"},
		{"DISABLE", 1, 1, "DATABASE", "refuse new clients of a database"},
		{"ENABLE", 1, 1, "DATABASE", "take them again"},
		{"KILL", 0, 1, "[DATABASE]", "drop its clients and server connections at once"},
		{"KILL_CLIENT", 1, 1, "CLIENT", "drop one client, by the id of SHOW CLIENTS"},
		{"WAIT_CLOSE", 0, 1, "[DATABASE]", "wait until connections from before a RECONNECT are gone"},
		{"BAN", 0, 1, "[POOL]", "take no reads to a server, by the id of SHOW POOLS or HOST:PORT; all without"},
		{"UNBAN", 0, 1, "[POOL]", "take them again"},
		{"HEALTHCHECK", 0, 1, "[POOL]", "check servers now"},
		{"PROBE", 1, 1, "URL", "log in at a server and say how long it took"},
		{"RESET PREPARED", 0, 0, "", "forget prepared statements that no client uses"},
		{"RESET QUERY_CACHE", 0, 0, "", "forget the plans of statements"},
		{"MAINTENANCE", 1, 1, "ON|OFF", "hold all clients, whatever they are doing next"},
		{"SHUTDOWN", 0, 1, "[WAIT_FOR_CLIENTS|WAIT_FOR_SERVERS]", "end the proxy"},
		{"SETUP SCHEMA", 0, 1, "[DATABASE]", "make the functions for sharded sequences"},
		{"SCHEMA_SYNC", 3, 4, "PRE|POST|CUTOVER SOURCE DESTINATION [PUBLICATION]", "copy a part of the schema to a database's shards"},
		{"COPY_DATA", 3, 4, "SOURCE DESTINATION PUBLICATION [SLOT]", "copy schema and rows, and follow the changes"},
		{"REPLICATE", 3, 4, "SOURCE DESTINATION PUBLICATION [SLOT]", "follow the changes only"},
		{"RESHARD", 3, 4, "SOURCE DESTINATION PUBLICATION [SLOT]", "all of it, and CUTOVER"},
		{"CUTOVER", 0, 1, "[TASK]", "give the clients of a task's source the destination's servers"},
		{"STOP_TASK", 1, 1, "TASK", "end a task; its slots go, its rows stay"},
	}
}

// parse finds the command that words begin with.
func parse(words []string) (Command, error) {
	for n := min(2, len(words)); n > 0; n-- {
		name := strings.ToUpper(strings.Join(words[:n], " "))
		for _, v := range verbs() {
			if v.name != name {
				continue
			}
			args := words[n:]
			if len(args) < v.min || len(args) > v.max {
				return Command{}, fmt.Errorf("the command is %s", strings.TrimSpace(v.name+" "+v.args))
			}
			return Command{Verb: v.name, Args: args}, nil
		}
	}
	return Command{}, fmt.Errorf("there is no command %s; SHOW HELP lists them", strings.ToUpper(words[0]))
}

// split takes a statement apart: words, which may be quoted by ' or ". Commas, equals signs
// and semicolons part words; an equals sign is a word of its own.
func split(sql string) ([]string, error) {
	var words []string
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ';':
			i++
		case c == '=':
			words = append(words, "=")
			i++
		case strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexByte(sql[i:], '\n')
			if end < 0 {
				return words, nil
			}
			i += end
		case strings.HasPrefix(sql[i:], "/*"):
			end := strings.Index(sql[i:], "*/")
			if end < 0 {
				return nil, fmt.Errorf("the comment is not closed")
			}
			i += end + 2
		case c == '\'' || c == '"':
			word, n, ok := quoted(sql[i:], c)
			if !ok {
				return nil, fmt.Errorf("the quote is not closed")
			}
			words = append(words, word)
			i += n
		default:
			n := strings.IndexAny(sql[i:], " \t\r\n,;='\"")
			if n < 0 {
				n = len(sql) - i
			}
			words = append(words, sql[i:i+n])
			i += n
		}
	}
	return words, nil
}

// quoted reads a string in quotes, doubled within; n is how long it is with them.
func quoted(s string, q byte) (word string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != q {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == q {
			b.WriteByte(q)
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}
