package merge_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/wire"
)

func TestTag(t *testing.T) {
	for _, tt := range []struct {
		how      gather.Tag
		tags     []string
		returned uint64
		want     string // empty: an error
	}{
		{gather.TagSum, []string{"SELECT 5", "SELECT 7"}, 10, "SELECT 10"},
		{gather.TagTotal, []string{"SELECT 5", "SELECT 7"}, 0, "SELECT 12"},
		{gather.TagSum, []string{"INSERT 0 5", "INSERT 0 7"}, 0, "INSERT 0 12"},
		{gather.TagSum, []string{"UPDATE 0", "UPDATE 1", "UPDATE 2"}, 3, "UPDATE 3"},
		{gather.TagSame, []string{"CREATE TABLE", "CREATE TABLE"}, 0, "CREATE TABLE"},
		{gather.TagSame, []string{"DELETE 4", "DELETE 4"}, 0, "DELETE 4"},
		{gather.TagSame, []string{"DELETE 4", "DELETE 5"}, 0, ""},
		{gather.TagSum, []string{"DELETE 4", "UPDATE 4"}, 0, ""},
		{gather.TagSum, nil, 0, ""},
	} {
		got, err := merge.Tag(tt.how, tt.tags, tt.returned)
		var e *wire.Error
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.As(err, &e) {
			t.Errorf("%v of %q: %q and %v, want %q", tt.how, tt.tags, got, err, tt.want)
		}
	}
}

// TestCopy sends rows of every type back to a server by COPY, and finds them unchanged.
func TestCopy(t *testing.T) {
	b := start(t)
	for typ, value := range values() {
		b.exec("DROP TABLE IF EXISTS d, e; CREATE TABLE d (id int, v " + typ + "); CREATE TABLE e (LIKE d)")
		b.exec("INSERT INTO d SELECT i, CASE WHEN random() > 0.1 THEN " + value + " END FROM generate_series(1, 50) i")
		for _, f := range []wire.Format{wire.Text, wire.Binary} {
			_, rows := b.query("SELECT id, v FROM d ORDER BY id", f)
			data := merge.CopyHeader(f)
			for _, r := range rows {
				var err error
				if data, err = merge.AppendCopy(data, r, f); err != nil {
					t.Fatal(err)
				}
			}
			data = append(data, merge.CopyTrailer(f)...)
			sql := "COPY e FROM STDIN"
			if f == wire.Binary {
				sql += " (FORMAT binary)"
			}
			if _, err := b.conn.CopyFrom(t.Context(), bytes.NewReader(data), sql); err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			_, got := b.query("SELECT id, v FROM e ORDER BY id", f)
			if !bytes.Equal(bytes.Join(got, nil), bytes.Join(rows, nil)) {
				t.Errorf("%s in format %d: rows have changed", typ, f)
			}
			b.exec("TRUNCATE e")
		}
	}
	if _, err := merge.AppendCopy(nil, []byte{0, 1, 0, 0, 0, 9, 1}, wire.Text); err == nil {
		t.Error("a malformed row is copied")
	}
}
