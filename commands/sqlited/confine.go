package sqlited

import (
	"errors"
	"strings"

	"modernc.org/sqlite"
)

// confine keeps clients within the database: SQLite asks about each operation while it
// compiles a statement, so that no way of writing it gets around this. VACUUM works through
// ATTACH, of a file whose name is not told here, and so goes with it.
func confine(o Options) sqlite.ConnectionHookFn {
	return func(conn sqlite.ExecQuerierContext, _ string) error {
		c, ok := conn.(sqlite.AuthorizerRegisterer)
		if !ok {
			return errors.New("this driver cannot confine clients")
		}
		return c.RegisterAuthorizer(func(action sqlite.AuthorizerActionCode, name, value, _, _ string) sqlite.AuthorizerReturnCode {
			switch action {
			case sqlite.AuthAttach, sqlite.AuthDetach:
				if !o.Attach {
					return sqlite.AuthorizerDeny
				}
			case sqlite.AuthPragma:
				switch strings.ToLower(name) {
				case "temp_store_directory", "data_store_directory":
					return sqlite.AuthorizerDeny
				case "query_only":
					if o.ReadOnly && value != "" {
						return sqlite.AuthorizerDeny
					}
				}
			case sqlite.AuthFunction:
				if strings.EqualFold(value, "load_extension") {
					return sqlite.AuthorizerDeny
				}
			}
			return sqlite.AuthorizerOK
		})
	}
}
