package walsender

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

func TestParseCommand(t *testing.T) {
	tests := []struct {
		in   string
		want Command
	}{
		{"IDENTIFY_SYSTEM", &IdentifySystem{}},
		{" identify_system ; ", &IdentifySystem{}},
		{"SHOW wal_segment_size", &Show{"wal_segment_size"}},
		{`SHOW "Plugin"."x"`, &Show{"Plugin.x"}},
		{`READ_REPLICATION_SLOT "a b"`, &ReadSlot{"a b"}},
		{"TIMELINE_HISTORY 7", &TimelineHistory{7}},
		{"UPLOAD_MANIFEST", &UploadManifest{}},
		{"DROP_REPLICATION_SLOT S WAIT", &DropSlot{"s", true}},
		{`ALTER_REPLICATION_SLOT "s" ( FAILOVER true, two_phase )`, &AlterSlot{"s", []wire.Param{{Name: "failover", Value: "true"}, {Name: "two_phase"}}}},
		{"CREATE_REPLICATION_SLOT s TEMPORARY PHYSICAL RESERVE_WAL", &CreateSlot{Slot: "s", Temporary: true, Options: []wire.Param{{Name: "reserve_wal"}}}},
		{`CREATE_REPLICATION_SLOT "sub" LOGICAL pgoutput NOEXPORT_SNAPSHOT`, &CreateSlot{Slot: "sub", Plugin: "pgoutput", Options: []wire.Param{{Name: "snapshot", Value: "nothing"}}}},
		{`CREATE_REPLICATION_SLOT "sub" LOGICAL pgoutput USE_SNAPSHOT TWO_PHASE`, &CreateSlot{Slot: "sub", Plugin: "pgoutput", Options: []wire.Param{{Name: "snapshot", Value: "use"}, {Name: "two_phase"}}}},
		{`CREATE_REPLICATION_SLOT "sub" LOGICAL "pgoutput" (FAILOVER, SNAPSHOT 'export')`, &CreateSlot{Slot: "sub", Plugin: "pgoutput", Options: []wire.Param{{Name: "failover"}, {Name: "snapshot", Value: "export"}}}},
		{"START_REPLICATION 0/16B3748", &StartReplication{Start: 0x16B3748}},
		{"START_REPLICATION SLOT s PHYSICAL A/B TIMELINE 3", &StartReplication{Slot: "s", Start: 0xA0000000B, Timeline: 3}},
		{`START_REPLICATION SLOT "s" LOGICAL 0/0 (proto_version '2', publication_names '"it''s","q"', binary)`, &StartReplication{
			Slot: "s", Logical: true,
			Options: []wire.Param{{Name: "proto_version", Value: "2"}, {Name: "publication_names", Value: `"it's","q"`}, {Name: "binary"}},
		}},
		{"BASE_BACKUP", &BaseBackup{}},
		{"BASE_BACKUP LABEL 'l' PROGRESS FAST MAX_RATE 32", &BaseBackup{[]wire.Param{{Name: "label", Value: "l"}, {Name: "progress"}, {Name: "fast"}, {Name: "max_rate", Value: "32"}}}},
		{"BASE_BACKUP (LABEL 'l', CHECKPOINT 'fast', WAIT 0)", &BaseBackup{[]wire.Param{{Name: "label", Value: "l"}, {Name: "checkpoint", Value: "fast"}, {Name: "wait", Value: "0"}}}},
		{"SELECT 1", nil},
		{"", nil},
		{"select 'IDENTIFY_SYSTEM'", nil},
	}
	for _, tt := range tests {
		got, err := ParseCommand(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s:\n%s", tt.in, diff)
		}
	}
	for _, in := range []string{
		"IDENTIFY_SYSTEM x", "SHOW", "TIMELINE_HISTORY 0", "TIMELINE_HISTORY x", "DROP_REPLICATION_SLOT", "DROP_REPLICATION_SLOT 's'",
		"CREATE_REPLICATION_SLOT s", "CREATE_REPLICATION_SLOT s LOGICAL", "CREATE_REPLICATION_SLOT s LOGICAL p NOW", `CREATE_REPLICATION_SLOT "s LOGICAL p`,
		"START_REPLICATION", "START_REPLICATION SLOT s LOGICAL", "START_REPLICATION SLOT s LOGICAL 0", "START_REPLICATION SLOT s LOGICAL 0/0 (a 'b'",
		"START_REPLICATION SLOT s LOGICAL 0/0 (a 'b' c)", "START_REPLICATION LOGICAL 0/0", "START_REPLICATION 0/0 TIMELINE", "BASE_BACKUP (", "BASE_BACKUP NOW",
	} {
		c, err := ParseCommand(in)
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != wire.CodeSyntaxError {
			t.Errorf("%s: %+v, %v", in, c, err)
		}
	}
}

func TestParsePlugin(t *testing.T) {
	params := func(s ...string) []wire.Param {
		var p []wire.Param
		for _, o := range s {
			name, value, _ := strings.Cut(o, "=")
			p = append(p, wire.Param{Name: name, Value: value})
		}
		return p
	}
	got, err := ParsePlugin(params("proto_version=4", `publication_names="a ""b""",c`, "streaming=parallel", "two_phase=on", "binary", "messages=true", "origin=none"))
	want := Plugin{Version: 4, Publications: []string{`a "b"`, "c"}, Streaming: "parallel", TwoPhase: true, Binary: true, Messages: true, Origin: "none"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for value, want := range map[string]string{"on": "on", "true": "on", "off": "", "": "on"} {
		if got, err := ParsePlugin(params("proto_version=2", "publication_names=p", "streaming="+value)); err != nil || got.Streaming != want {
			t.Errorf("streaming %q: %q, %v", value, got.Streaming, err)
		}
	}
	for _, in := range [][]string{
		{},
		{"proto_version=1"},
		{"publication_names=p"},
		{"proto_version=5", "publication_names=p"},
		{"proto_version=x", "publication_names=p"},
		{"proto_version=1", "publication_names="},
		{"proto_version=1", "publication_names=a,"},
		{"proto_version=1", "publication_names=a b"},
		{"proto_version=1", "publication_names=p", "binary=perhaps"},
		{"proto_version=1", "publication_names=p", "origin=here"},
		{"proto_version=1", "publication_names=p", "new"},
		{"proto_version=1", "proto_version=1", "publication_names=p"},
	} {
		if p, err := ParsePlugin(params(in...)); err == nil {
			t.Errorf("%v: %+v", in, p)
		}
	}
}

// FuzzParseCommand must not panic, and errors are syntax errors.
func FuzzParseCommand(f *testing.F) {
	f.Add(`START_REPLICATION SLOT "s" LOGICAL 0/0 (proto_version '2', publication_names '"a","b"')`)
	f.Add(`CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL pgoutput (SNAPSHOT 'use')`)
	f.Add(`BASE_BACKUP LABEL 'x' PROGRESS`)
	f.Add(`TIMELINE_HISTORY 99999999999`)
	f.Fuzz(func(t *testing.T, in string) {
		c, err := ParseCommand(in)
		var e *wire.Error
		if err != nil && (c != nil || !errors.As(err, &e) || e.Code != wire.CodeSyntaxError) {
			t.Errorf("%+v, %v", c, err)
		}
		if s, ok := c.(*StartReplication); ok {
			_, _ = ParsePlugin(s.Options)
		}
	})
}

// TestPublisherCommits checks that a transaction is applied as a whole or not at all.
func TestPublisherCommits(t *testing.T) {
	p := NewPublisher(1)
	oid := products(t, p, 2)
	before := p.Position()
	for _, tt := range []struct {
		name    string
		changes []pgoutput.Message
	}{
		{"duplicate", []pgoutput.Message{insert(oid, 5), insert(oid, 1)}},
		{"no such table", []pgoutput.Message{insert(oid, 5), insert(oid+1, 6)}},
	} {
		if _, err := p.Commit(tt.changes...); err == nil {
			t.Errorf("%s: committed", tt.name)
		}
	}
	if now := p.tableNow(oid); len(now.rows) != 2 || p.Position() != before {
		t.Errorf("%d rows, position %v", len(now.rows), p.Position())
	}
	n := 0
	for range p.tableNow(oid).all() {
		n++
	}
	if n != 2 {
		t.Errorf("%d rows are listed", n)
	}
	for range 1000 { // the order of keys does not grow for ever
		commit(t, p, &pgoutput.Truncate{RelationOIDs: []uint32{oid}}, insert(oid, 1))
		commit(t, p, &pgoutput.Delete{RelationOID: oid, Old: insert(oid, 1).New})
	}
	if now := p.tableNow(oid); len(now.order) > 200 {
		t.Errorf("%d keys for %d rows", len(now.order), len(now.rows))
	}
	if p.Kept() != 0 {
		t.Errorf("%d transactions are kept for nobody", p.Kept())
	}
	for _, bad := range []Table{{Schema: "s", Name: "t"}, {Name: "t"}} {
		if _, err := p.Publish("pub", bad); err == nil {
			t.Errorf("%+v is published", bad)
		}
	}
}
