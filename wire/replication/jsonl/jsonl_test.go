package jsonl

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

func TestEncode(t *testing.T) {
	rel := &pgoutput.Relation{OID: 7, Schema: "s", Name: `t"`, Columns: []pgoutput.Column{
		{Key: true, Name: "id", TypeOID: pgtype.Int8OID},
		{Name: "f", TypeOID: pgtype.Float8OID},
		{Name: "b", TypeOID: pgtype.BoolOID},
		{Name: "n", TypeOID: pgtype.NumericOID},
		{Name: "j", TypeOID: pgtype.JSONBOID},
		{Name: "x", TypeOID: pgtype.TextOID},
	}}
	row := func(values ...string) pgoutput.Tuple {
		var out pgoutput.Tuple
		for _, v := range values {
			switch v {
			case "NULL":
				out = append(out, pgoutput.NullValue())
			case "UNCHANGED":
				out = append(out, pgoutput.Value{Kind: pgoutput.Unchanged})
			default:
				out = append(out, pgoutput.TextValue(v))
			}
		}
		return out
	}
	tests := []struct {
		message pgoutput.Message
		want    string
	}{
		{rel, ""},
		{&pgoutput.Begin{FinalLSN: 0x20, XID: 3, CommitTime: 1}, `{"kind":"begin","xid":3,"lsn":"0/20","time":"2000-01-01T00:00:00.000001Z"}`},
		{
			&pgoutput.Insert{RelationOID: 7, New: row("9223372036854775807", "1e+300", "t", "1.50", `{"a": [1, "b"]}`, "a\"b\\c\n\x01é\xff")},
			`{"kind":"insert","xid":3,"lsn":"0/10","schema":"s","table":"t\"","new":{"id":9223372036854775807,"f":1e+300,"b":true,"n":"1.50","j":{"a":[1,"b"]},"x":"a\"b\\c\n\u0001é` + "\uFFFD" + `"}}`,
		},
		{
			&pgoutput.Update{RelationOID: 7, Old: row("1", "NULL", "NULL", "NULL", "NULL", "NULL"), New: row("2", "NaN", "f", "NULL", "NULL", "UNCHANGED")},
			`{"kind":"update","xid":3,"lsn":"0/10","schema":"s","table":"t\"","key":{"id":1},"new":{"id":2,"f":"NaN","b":false,"n":null,"j":null},"unchanged":["x"]}`,
		},
		{
			&pgoutput.Delete{RelationOID: 7, Full: true, Old: row("2", "NULL", "NULL", "NULL", "null", "")},
			`{"kind":"delete","xid":3,"lsn":"0/10","schema":"s","table":"t\"","old":{"id":2,"f":null,"b":null,"n":null,"j":null,"x":""}}`,
		},
		{&pgoutput.Truncate{RelationOIDs: []uint32{7}, RestartIdentity: true}, `{"kind":"truncate","xid":3,"lsn":"0/10","tables":["s.t\""],"cascade":false,"restart_identity":true}`},
		{&pgoutput.LogicalMessage{LSN: 0x11, Prefix: "p", Content: []byte("c")}, `{"kind":"message","xid":3,"lsn":"0/11","prefix":"p","content":"c","transactional":false}`},
		{&pgoutput.Commit{CommitLSN: 0x20, EndLSN: 0x28, CommitTime: 1}, `{"kind":"commit","xid":3,"lsn":"0/20","end":"0/28","time":"2000-01-01T00:00:00.000001Z"}`},
	}
	var e Encoder
	for _, tt := range tests {
		got, err := e.Append(nil, replication.Change{Message: tt.message, Relation: rel, XID: 3, LSN: 0x10})
		if err != nil || strings.TrimSuffix(string(got), "\n") != tt.want {
			t.Errorf("%T: %v\n got %s\nwant %s", tt.message, err, got, tt.want)
		}
		if tt.want != "" && (!json.Valid(got) || bytes.Count(got, []byte("\n")) != 1) {
			t.Errorf("%T: not one line of JSON: %q", tt.message, got)
		}
	}
	if _, err := e.Append(nil, replication.Change{Message: &pgoutput.StreamStart{}}); err == nil {
		t.Error("a streamed transaction was taken")
	}
}

func TestOpenFile(t *testing.T) {
	const (
		first  = `{"kind":"copied","end":"0/10"}` + "\n"
		change = `{"kind":"insert","xid":1}` + "\n"
		commit = `{"kind":"commit","end":"1/20"}` + "\n"
	)
	long := strings.Repeat(change, 10000) // more than one block
	tests := []struct {
		name, content, keep string
		position            wire.LSN
		bad                 bool
	}{
		{"new", "", "", 0, false},
		{"whole", first + change + commit, first + change + commit, 1<<32 | 0x20, false},
		{"open transaction", first + change + commit + change + change, first + change + commit, 1<<32 | 0x20, false},
		{"torn line", first + change + commit + `{"kind":"com`, first + change + commit, 1<<32 | 0x20, false},
		{"commit without newline", first + strings.TrimSpace(commit), first, 0x10, false},
		{"long transaction", first + long + commit + long, first + long + commit, 1<<32 | 0x20, false},
		{"only rows", long, "", 0, false},
		{"torn first line", `{"ki`, "", 0, false},
		{"no lines of ours", "hello\nworld\n", "hello\nworld\n", 0, true},
		{"not even a line", "hello", "hello", 0, true},
		{"something behind", commit + "oops\n", commit + "oops\n", 0, true},
		{"bad position", `{"kind":"commit","end":"x"}` + "\n", `{"kind":"commit","end":"x"}` + "\n", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := OpenFile(path)
			if (err != nil) != tt.bad {
				t.Fatalf("error %v", err)
			}
			keep := tt.keep
			if err == nil {
				if f.Position != tt.position || f.Cut != int64(len(tt.content)-len(tt.keep)) {
					t.Errorf("position %v, cut %d", f.Position, f.Cut)
				}
				if _, err := f.Write([]byte(commit)); err != nil {
					t.Error(err)
				}
				keep += commit
				if err := f.Sync(); err != nil {
					t.Error(err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != keep {
				t.Errorf("%d bytes are left, want %d; %v", len(got), len(keep), err)
			}
		})
	}
}

func FuzzValue(f *testing.F) {
	f.Add(uint32(pgtype.JSONOID), []byte(`{"a":1}`))
	f.Add(uint32(pgtype.Float8OID), []byte("-Infinity"))
	f.Add(uint32(pgtype.TextOID), []byte("\xff\"\x7f"))
	f.Fuzz(func(t *testing.T, oid uint32, data []byte) {
		b := value(nil, oid, pgoutput.Value{Kind: pgoutput.Text, Data: data})
		if !json.Valid(b) || bytes.ContainsAny(b, "\n") {
			t.Errorf("%d %q: %q", oid, data, b)
		}
	})
}
