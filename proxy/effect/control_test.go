package effect_test

import (
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/effect"
)

func TestControlOf(t *testing.T) {
	tests := []struct {
		sql  string
		want effect.Control
		no   bool
	}{
		{sql: "begin", want: effect.Control{Kind: effect.Begin, Tag: "BEGIN"}},
		{sql: "/* x */ BEGIN WORK; -- y", want: effect.Control{Kind: effect.Begin, Tag: "BEGIN"}},
		{sql: "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, NOT DEFERRABLE", want: effect.Control{Kind: effect.Begin, Tag: "BEGIN"}},
		{sql: "begin read only", want: effect.Control{Kind: effect.Begin, Tag: "BEGIN", ReadOnly: true}},
		{sql: "start transaction isolation level serializable read write", want: effect.Control{Kind: effect.Begin, Tag: "START TRANSACTION", Serializable: true, ReadWrite: true}},
		{sql: "start transaction read write", want: effect.Control{Kind: effect.Begin, Tag: "START TRANSACTION", ReadWrite: true}},
		{sql: "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", want: effect.Control{Kind: effect.SetTransaction, Tag: "SET"}},
		{sql: "commit", want: effect.Control{Kind: effect.Commit, Tag: "COMMIT"}},
		{sql: "END TRANSACTION AND CHAIN", want: effect.Control{Kind: effect.Commit, Tag: "COMMIT", Chain: true}},
		{sql: "COMMIT AND NO CHAIN", want: effect.Control{Kind: effect.Commit, Tag: "COMMIT"}},
		{sql: "abort", want: effect.Control{Kind: effect.Rollback, Tag: "ROLLBACK"}},
		{sql: `ROLLBACK WORK TO SAVEPOINT "A b"`, want: effect.Control{Kind: effect.RollbackToSavepoint, Name: "A b", Tag: "ROLLBACK"}},
		{sql: "rollback to savepoint", want: effect.Control{Kind: effect.RollbackToSavepoint, Name: "savepoint", Tag: "ROLLBACK"}},
		{sql: "savepoint s1", want: effect.Control{Kind: effect.MakeSavepoint, Name: "s1", Tag: "SAVEPOINT"}},
		{sql: "release savepoint s1", want: effect.Control{Kind: effect.ReleaseSavepoint, Name: "s1", Tag: "RELEASE"}},
		{sql: "begin; select 1", no: true},
		{sql: "begin; begin", no: true},
		{sql: "/* pgdog_role: replica */ begin", no: true},
		{sql: "begin isolation level", no: true},
		{sql: "begin isolation level chaos", no: true},
		{sql: "begin read only,", no: true},
		{sql: "begin ,read only", no: true},
		{sql: "begin atomic", no: true},
		{sql: "start", no: true},
		{sql: "start transaction snapshot 'x'", no: true},
		{sql: "commit prepared 'x'", no: true},
		{sql: "commit 1", no: true},
		{sql: "set transaction", no: true},
		{sql: "set transaction snapshot '1'", no: true},
		{sql: "set local x = 1", no: true},
		{sql: "savepoint", no: true},
		{sql: "savepoint 'x'", no: true},
		{sql: "abort to x", no: true},
		{sql: "select 1", no: true},
		{sql: "begin /*", no: true},
		{sql: "", no: true},
		{sql: ";", no: true},
	}
	var sc effect.Scanner
	for _, tt := range tests {
		got, ok := sc.ControlOf(tt.sql)
		if ok == tt.no || ok && got != tt.want {
			t.Errorf("%q: %+v, %v", tt.sql, got, ok)
		}
	}
}

func TestOpens(t *testing.T) {
	var sc effect.Scanner
	for sql, want := range map[string]bool{
		"BEGIN": true, "/* x */ start transaction read only": true, "begin; select 1": true, "SELECT 1; begin": true, "commit and chain": true,
		"begin; rollback to a": true, "begin; commit prepared 'x'": true,
		"begin; commit": false, "begin; abort": false, "begin; prepare transaction 'x'": false, "select 'begin'": false, "select 1; select 2": false,
		"SELECT 1; /*": false, "start": false, "commit": false, "": false, "select ';begin'": false,
	} {
		if got := sc.Opens(sql); got != want {
			t.Errorf("%q: %v", sql, got)
		}
	}
}
