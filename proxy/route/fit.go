package route

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
)

// A Fit is how many characters each column of a sharding key holds, 0 for any number; nil if all
// hold any. A varchar(n) loses the spaces beyond its length when a row is stored (varchar in
// varchar.c), so that the row's shard is that of what is left.
type Fit []int

// fitOf is the Fit of columns of a table, nil if the table is not known.
func fitOf(t *schema.Table, columns []string) Fit {
	if t == nil {
		return nil
	}
	var out Fit
	for i, name := range columns {
		at := t.Column(name)
		if at < 0 {
			continue
		}
		length, ok := strings.CutPrefix(t.Columns[at].TypeName, "character varying(")
		n, err := strconv.Atoi(strings.TrimSuffix(length, ")"))
		if !ok || err != nil {
			continue
		}
		if out == nil {
			out = make(Fit, len(columns))
		}
		out[i] = n
	}
	return out
}

// Apply makes a key's values what a row stores of them. What does not fit is left as it is: the
// server refuses it.
func (f Fit) Apply(values []sharding.Raw) {
	for i, most := range f {
		if b := values[i].Bytes; most > 0 && len(b) > most && b[len(b)-1] == ' ' {
			end := 0
			for n := 0; n < most && end < len(b); n++ {
				_, size := utf8.DecodeRune(b[end:])
				end += size
			}
			if len(strings.Trim(string(b[end:]), " ")) == 0 {
				values[i].Bytes = b[:end]
			}
		}
	}
}
