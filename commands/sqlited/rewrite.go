package sqlited

import "strings"

// rewrite puts into SQLite's words what PostgreSQL's clients write as a matter of course:
// current_user and its like become the role's name, and "pg_catalog." goes.
func rewrite(sql, user string) string {
	low := strings.ToLower(sql)
	if !strings.Contains(low, "_user") && !strings.Contains(low, "pg_catalog.") {
		return sql
	}
	var b strings.Builder
	for i := 0; i < len(sql); {
		c := sql[i]
		end := i + 1
		switch {
		case c == '\'' || c == '"':
			for end < len(sql) && sql[end] != c {
				end++
			}
			end = min(end+1, len(sql))
		case c == '-' && strings.HasPrefix(sql[i:], "--"):
			if n := strings.IndexByte(sql[i:], '\n'); n >= 0 {
				end = i + n
			} else {
				end = len(sql)
			}
		case c == '/' && strings.HasPrefix(sql[i:], "/*"):
			if n := strings.Index(sql[i:], "*/"); n >= 0 {
				end = i + n + 2
			} else {
				end = len(sql)
			}
		case isWordByte(c):
			for end < len(sql) && isWordByte(sql[end]) {
				end++
			}
			switch low[i:end] {
			case "current_user", "session_user", "current_role":
				if (i == 0 || sql[i-1] != '.') && (end == len(sql) || sql[end] != '.') {
					b.WriteString("'" + strings.ReplaceAll(user, "'", "''") + "'")
					i = end
					continue
				}
			case "pg_catalog":
				if end < len(sql) && sql[end] == '.' {
					i = end + 1
					continue
				}
			}
		}
		b.WriteString(sql[i:end])
		i = end
	}
	return b.String()
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
