package copysplit_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/proxy/copysplit"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

const shards = 3

// A judge is a server that reads the data whole, and what the splitter makes of them: that is what
// the splitter is compared with.
type judge struct {
	c       *pgx.Conn
	key     *sharding.Key
	version int
}

func newJudge(t testing.TB, version string) *judge {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	c, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	for i := range shards + 1 {
		if _, err := c.Exec(t.Context(), fmt.Sprintf("CREATE UNLOGGED TABLE t%d (a text, k text, b text)", i)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := sharding.Compile(sharding.Config{Shards: shards, Tables: []sharding.Table{{Name: "t", Columns: []string{"k"}, Types: []hash.OID{hash.Text}}}})
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{c: c, key: l.Find("public", "t", nil).Key}
	if err := c.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&j.version); err != nil {
		t.Fatal(err)
	}
	return j
}

// copy gives a table the data and returns its rows in order, which the table loses again.
func (j *judge) copy(ctx context.Context, table int, options string, data []byte) ([]string, error) {
	name := fmt.Sprintf("t%d", table)
	if _, err := j.c.PgConn().CopyFrom(ctx, bytes.NewReader(data), "COPY "+name+" (a, k, b) FROM STDIN "+options); err != nil {
		return nil, err
	}
	rows, err := j.c.Query(ctx, "SELECT coalesce(quote_literal(a), 'NULL') || ' ' || coalesce(quote_literal(k), 'NULL') || ' ' || coalesce(quote_literal(b), 'NULL') FROM "+name)
	if err != nil {
		return nil, err
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil {
		_, err = j.c.Exec(ctx, "DELETE FROM "+name)
	}
	return out, err
}

// options are those of a COPY, as the router reads them and as the server does.
func options(n uint16) (text string, c route.Copy) {
	c = route.Copy{Schema: "public", Table: "t", Columns: []string{"a", "k", "b"}, KeyAt: []int{1}, Options: map[string]string{}}
	var list []string
	add := func(name, value string) {
		c.Options[name] = value
		switch name {
		case "delimiter", "null", "quote", "escape", "encoding":
			value = "E'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\t", `\t`).Replace(value) + "'"
		case "force_null", "force_not_null":
			value = "(" + value + ")"
		}
		list = append(list, name+" "+value)
	}
	pick := func(values ...string) string {
		v := values[int(n)%len(values)]
		n /= uint16(len(values))
		return v
	}
	format := pick("text", "csv", "binary", "csv")
	add("format", format)
	if format == "binary" {
		return "(" + strings.Join(list, ", ") + ")", c
	}
	if v := pick("", "", ";", ","); v != "" {
		add("delimiter", v)
	}
	if v := pick("", "", "x", `\N`, "NULL"); v != "" {
		add("null", v)
	}
	if v := pick("", "true", "", "false"); v != "" {
		add("header", v)
	}
	if v := pick("", "", "LATIN1", "UTF8", "EUC_JP"); v != "" {
		add("encoding", v)
	}
	if format == "csv" {
		if v := pick("", "'", ""); v != "" {
			add("quote", v)
		}
		if v := pick("", `\`, ""); v != "" {
			add("escape", v)
		}
		if v := pick("", "force_null", "force_not_null"); v != "" {
			add(v, "k")
		}
	}
	return "(" + strings.Join(list, ", ") + ")", c
}

// words are what text is made of, so that most of it means something.
var words = []string{
	"a", "b", "k", "\t", "\n", ",", ";", "x", `\N`, "NULL", `"`, "'", `\`, `""`, `\.`, "\\.\n", "\r\n", "\r", " ", "é", "\xe9", "\x00", `\t`, `\x41`, `\101`, `\n`,
	"\\\n", "\n\n", "a\tk\tb\n", "a,k,b\n", "a;k;b\n", `"a","k","b"` + "\n", "\"a\nb\"", "x,\"\"\"\",x\n", "\xa4\xa2", "1\t2\t3\r\n", "1,2,3\r\n", "\r\n\\.\r\n",
}

// data is what bytes stand for: themselves, words, or tuples in the binary format.
func data(raw []byte, how uint8, format string) []byte {
	if format == "binary" && how%4 != 0 {
		out := append([]byte("PGCOPY\n\xff\r\n\x00"), 0, 0, 0, 0, 0, 0, 0, 0)
		for part := range slices.Chunk(raw, 5) {
			out = binary.BigEndian.AppendUint16(out, 3)
			for i := range 3 {
				size := 0
				if i < len(part) {
					size = int(part[i]) % 4
				}
				if size == 3 && i < 2 {
					out = binary.BigEndian.AppendUint32(out, 0xffffffff)
					continue
				}
				out = binary.BigEndian.AppendUint32(out, uint32(size))
				for range size {
					out = append(out, 'a'+part[len(part)-1]%26)
				}
			}
		}
		switch how % 3 {
		case 1:
			out = append(out, 0xff, 0xff)
		case 2:
			out = append(out, 0xff, 0xff, 'x')
		}
		return out
	}
	if how%4 == 0 {
		return raw
	}
	var out []byte
	for _, b := range raw {
		out = append(out, words[int(b)%len(words)]...)
	}
	return out
}

// split gives a splitter the data in pieces, and returns what each shard gets.
func (j *judge) split(c *route.Copy, pieces [][]byte) ([][]byte, error) {
	s, err := copysplit.New(c, shards, func(key []sharding.Raw) (int, error) { return j.key.Place(key, nil) })
	if err != nil {
		return nil, err
	}
	out := make([][]byte, shards)
	take := func() {
		for i := range out {
			out[i] = append(out[i], s.Out(i)...)
			s.Taken(i)
		}
	}
	for _, p := range pieces {
		p = append(make([]byte, 0, len(p)), p...)
		err := s.Write(p)
		for i := range p {
			p[i] = 0xa5 // it belongs to the caller
		}
		if err != nil {
			return nil, err
		}
		take()
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	take()
	return out, nil
}

// compare splits data and lets the server judge.
func (j *judge) compare(t *testing.T, raw []byte, n uint16, how uint8, cuts uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, c := options(n)
	c.Key, c.Version = j.key, j.version
	all := data(raw, how, c.Options["format"])
	whole, wantErr := j.copy(ctx, 0, text, all)
	if _, ok := errors.AsType[*pgconn.PgError](wantErr); wantErr != nil && !ok {
		t.Fatal(wantErr) // the connection
	}
	rnd := rand.New(rand.NewPCG(cuts, 0))
	pieces := [][]byte{all}
	if cuts > 0 {
		pieces = nil
		for rest := all; len(rest) > 0; {
			size := min(len(rest), 1+rnd.IntN(1+int(cuts%40)))
			pieces, rest = append(pieces, rest[:size]), rest[size:]
		}
	}
	parts, err := j.split(&c, pieces)
	once, onceErr := j.split(&c, [][]byte{all})
	if (err == nil) != (onceErr == nil) || !slices.EqualFunc(parts, once, bytes.Equal) {
		t.Fatalf("%s %q\nin pieces: %q, %v\nat once: %q, %v", text, all, parts, err, once, onceErr)
	}
	if err != nil {
		if code := wire.AsError(err).Code; wantErr == nil && code != wire.CodeFeatureNotSupported {
			t.Fatalf("%s %q\nsplitter: %v\nserver: %q", text, all, err, whole)
		}
		return
	}
	var got []string
	var gotErr error
	for i, part := range parts {
		rows, err := j.copy(ctx, i+1, text, part)
		if err != nil {
			gotErr = err
			continue
		}
		for _, row := range rows {
			got = append(got, row)
			if at := j.placed(t, row); at != i {
				t.Fatalf("%s %q\nrow %s is on shard %d, and looked for on %d", text, all, row, i, at)
			}
		}
	}
	if _, ok := errors.AsType[*pgconn.PgError](gotErr); gotErr != nil && !ok {
		t.Fatal(gotErr)
	}
	if (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("%s %q\nshards got %q\nshards: %q, %v\nserver: %q, %v", text, all, parts, got, gotErr, whole, wantErr)
	}
	if gotErr == nil {
		slices.Sort(got)
		slices.Sort(whole)
		if !slices.Equal(got, whole) {
			t.Fatalf("%s %q\nshards got %q\nshards: %q\nserver: %q", text, all, parts, got, whole)
		}
	}
}

// placed is the shard on which a row as copy returns it is looked for.
func (j *judge) placed(t *testing.T, row string) int {
	var key *string
	if err := j.c.QueryRow(t.Context(), "SELECT (ARRAY["+strings.Join(literals(row), ", ")+"])[2]::text").Scan(&key); err != nil {
		t.Fatal(err)
	}
	v := sharding.Raw{Type: hash.Text, Null: key == nil}
	if key != nil {
		v.Bytes = []byte(*key)
	}
	at, err := j.key.Place([]sharding.Raw{v}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// literals cuts a row of quoted literals.
func literals(row string) (out []string) {
	from, quoted := 0, false
	for i := range len(row) {
		switch {
		case row[i] == '\'':
			quoted = !quoted
		case row[i] == ' ' && !quoted:
			out = append(out, strings.TrimSpace(row[from:i]))
			from = i
		}
	}
	return append(out, strings.TrimSpace(row[from:]))
}

// TestSplitVersions does what FuzzSplit does with random data, on an older and a newer server: what
// ends the data is not the same to them.
func TestSplitVersions(t *testing.T) {
	for _, version := range []string{"", "18"} {
		t.Run(version, func(t *testing.T) {
			j := newJudge(t, version)
			rnd := rand.New(rand.NewPCG(11, 12))
			for range 700 {
				raw := make([]byte, 1+rnd.IntN(30))
				for i := range raw {
					raw[i] = byte(rnd.Uint32())
				}
				j.compare(t, raw, uint16(rnd.Uint32()), uint8(rnd.Uint32())|1, uint64(rnd.IntN(30)))
			}
		})
	}
}

// FuzzSplit compares what a server reads of a COPY with what shards read of the parts that the
// splitter makes of it: the same rows, each where it is looked for, or an error of both.
func FuzzSplit(f *testing.F) {
	j := newJudge(f, "")
	for n := range uint16(60) {
		raw := make([]byte, 40)
		rnd := rand.New(rand.NewPCG(uint64(n), 3))
		for i := range raw {
			raw[i] = byte(rnd.Uint32())
		}
		f.Add(raw, n*37, uint8(n), uint64(n%5)*uint64(n))
	}
	f.Add([]byte("a,k,b\r\nc,d,\"\r\n\"\r\n\\.\r\nx,y,z\r\n"), uint16(1), uint8(0), uint64(3))
	f.Fuzz(func(t *testing.T, raw []byte, n uint16, how uint8, cuts uint64) {
		if len(raw) > 4000 {
			return
		}
		j.compare(t, raw, n, how, cuts)
	})
}
