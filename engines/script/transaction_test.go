package script

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithinTransaction(t *testing.T) {
	const dump = "--\n-- PostgreSQL database dump\n--\n\n"
	tests := []struct {
		name, src string
		want      []string // what is run
		wantErr   string
	}{
		{name: "nothing", src: "create table t(); insert into t default values;", want: []string{"create table t()", "insert into t default values"}},
		{name: "within", src: "begin; create table zz(i int); commit; select 1/0;", wantErr: "f.sql:1: BEGIN: "},
		{name: "line", src: "select 1;\n\n/* x */ Commit;\nselect 2;", wantErr: "f.sql:3: COMMIT: "},
		{name: "hint", src: "rollback;", wantErr: `begin with "-- no-transaction"`},
		{name: "wrapped", src: "-- a migration\nBEGIN;\nselect 1;\nCOMMIT WORK;\n-- end\n", want: []string{"select 1"}},
		{name: "wrapped, without a semicolon", src: "start transaction; select 1; end", want: []string{"select 1"}},
		{name: "wrapped twice", src: "begin; select 1; commit; begin; select 2; commit;", wantErr: "f.sql:1: COMMIT: "},
		{name: "wrapped, then more", src: "begin; select 1; commit; select 2;", wantErr: "f.sql:1: BEGIN: "},
		{name: "another level", src: "begin isolation level serializable; select 1; commit;", wantErr: "f.sql:1: BEGIN: "},
		{name: "chained", src: "begin; select 1; commit and chain;", wantErr: "f.sql:1: BEGIN: "},
		{name: "no statement", src: "begin 'x; select 1'; commit", wantErr: "f.sql:1: BEGIN: "},
		{name: "never ended", src: "begin; select 1;", wantErr: "f.sql:1: BEGIN: "},
		{name: "comment between", src: "start /* ; */ transaction; select 1;", wantErr: "START TRANSACTION: "},
		{name: "abort", src: "select 1; abort;", wantErr: "ABORT: "},
		{name: "two-phase", src: "prepare transaction 'x';", wantErr: "PREPARE TRANSACTION: "},
		{name: "prepared statement", src: "prepare transaction as select 1; prepare p as select 2;", want: []string{"prepare transaction as select 1", "prepare p as select 2"}},
		{name: "savepoints", src: "savepoint s; rollback to s; rollback work to savepoint s; release s;", want: []string{"savepoint s", "rollback to s", "rollback work to savepoint s", "release s"}},
		{name: "in a body", src: "do $$ begin commit; end $$; create function f() returns int begin atomic; select 1; end;", want: []string{"do $$ begin commit; end $$", "create function f() returns int begin atomic; select 1; end"}},
		{name: "large objects", src: dump + "set x = 1;\nBEGIN;\n\nselect lo_open(1, 2);\nCOMMIT;\n\nBEGIN;\nselect 2;\nCOMMIT;\n", want: []string{"set x = 1", "select lo_open(1, 2)", "select 2"}},
		{name: "rollback in a dump", src: dump + "select 1; rollback;", wantErr: "f.sql:5: ROLLBACK: "},
		{name: "not quite a dump", src: "select '" + dumpMark + "'; begin; commit;", wantErr: "f.sql:1: BEGIN: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			steps, err := parse("f.sql", tt.src)
			if err != nil {
				t.Fatal(err)
			}
			steps, err = withinTransaction("f.sql", tt.src, steps)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("got %v, want …%s…", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, st := range steps {
				got = append(got, tt.src[st.start:st.end])
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
