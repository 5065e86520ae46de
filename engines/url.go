package engines

import (
	"net/url"
	"strconv"
	"strings"
)

// URL returns the connection URL of a database ("" = Info.Database) through the server's
// unix socket, else through TCP, else "". It always says the port, since clients would take
// another from PGPORT. It holds no password: over TCP that comes from a pgpass file or is
// added by the caller.
func (i Info) URL(database string) string {
	if database == "" {
		database = i.Database
	}
	u := url.URL{Scheme: "postgresql", User: url.User(i.User), Path: "/" + database}
	q := url.Values{}
	switch {
	case i.Socket != "":
		q.Set("host", i.Socket)
		if i.Port != 0 {
			q.Set("port", strconv.Itoa(i.Port))
		}
		q.Set("sslmode", "disable")
	case i.TCP != "":
		u.Host = i.TCP
		q.Set("sslmode", "disable")
	default:
		return ""
	}
	u.RawQuery = EncodeQuery(q)
	return u.String()
}

// EncodeQuery encodes the parameters of a connection URL. Unlike url.Values.Encode it
// writes a space as %20, since libpq takes a plus sign as it is (conninfo_uri_decode in
// fe-connect.c).
func EncodeQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }
