package replication

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

func TestIdentifyAndSlots(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s := testpg.New(t, major, nil)
			c := connect(t, s, Logical)
			ctx := t.Context()
			if c.Version()/10000 != major {
				t.Errorf("version %d", c.Version())
			}
			sys, err := c.IdentifySystem(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var id string
			if err := s.Connect(t, "postgres").QueryRow(ctx, "select system_identifier::text from pg_control_system()").Scan(&id); err != nil {
				t.Fatal(err)
			}
			if sys.ID != id || sys.Timeline != 1 || sys.Position == 0 || sys.Database != "postgres" {
				t.Errorf("%+v, want ID %s", sys, id)
			}
			if v, err := c.Show(ctx, "wal_level"); err != nil || v != "logical" {
				t.Errorf("SHOW: %q, %v", v, err)
			}
			_, err = c.Show(ctx, "no such thing")
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != wire.CodeUndefinedObject {
				t.Errorf("SHOW of nothing: %v", err)
			}
			if _, _, err := c.TimelineHistory(ctx, 7); err == nil || !strings.HasPrefix(err.Error(), "TIMELINE_HISTORY 7: ERROR: ") {
				t.Errorf("TIMELINE_HISTORY: %v", err)
			}
			// SQL works too, several statements at once.
			results, err := c.Query(ctx, "select 1, null; create table t (); select 'x' from t")
			if err != nil || len(results) != 3 || string(results[0].Rows[0][0]) != "1" || results[0].Rows[0][1] != nil || results[1].Tag != "CREATE TABLE" || results[2].Fields[0].Name != "?column?" {
				t.Errorf("%+v, %v", results, err)
			}

			if slot, err := c.CreateSlot(ctx, "phys", SlotOptions{ReserveWAL: true}); err != nil || slot.Name != "phys" || slot.ConsistentPoint != 0 {
				t.Errorf("%+v, %v", slot, err)
			}
			slot, err := c.CreateSlot(ctx, "logi", SlotOptions{Plugin: "pgoutput", Snapshot: "export"})
			if err != nil || slot.ConsistentPoint == 0 || slot.Snapshot == "" || slot.Plugin != "pgoutput" {
				t.Errorf("%+v, %v", slot, err)
			}
			if _, err := c.CreateSlot(ctx, "logi", SlotOptions{Plugin: "pgoutput"}); !errors.As(err, &e) || e.Code != wire.CodeDuplicateObject {
				t.Errorf("a slot made twice: %v", err)
			}
			if major >= 15 {
				p, err := c.ReadSlot(ctx, "phys")
				if err != nil || p.Type != "physical" || p.Restart == 0 || p.Timeline != 1 {
					t.Errorf("%+v, %v", p, err)
				}
				if p, err := c.ReadSlot(ctx, "nothing"); err != nil || p != (SlotPosition{}) {
					t.Errorf("no slot: %+v, %v", p, err)
				}
			}
			s.Exec(t, "postgres", "insert into t select from generate_series(1, 100)")
			sys, err = c.IdentifySystem(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if at, err := c.AdvanceSlot(ctx, "logi", sys.Position); err != nil || at < slot.ConsistentPoint || at > sys.Position {
				t.Errorf("advanced to %v, %v", at, err)
			}
			for _, name := range []string{"phys", "logi"} {
				if err := c.DropSlot(ctx, name, false); err != nil {
					t.Error(err)
				}
			}
			if err := c.DropSlot(ctx, "phys", false); !errors.As(err, &e) || e.Code != wire.CodeUndefinedObject {
				t.Errorf("a slot dropped twice: %v", err)
			}
		})
	}
}

func TestTimelineHistory(t *testing.T) {
	s := testpg.New(t, 15, nil)
	dir := t.TempDir() + "/standby"
	if _, err := connect(t, s, Physical).BaseBackup(t.Context(), &DirSink{Dir: dir, NoSync: true}, BaseBackupOptions{Fast: true, WAL: true}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := os.WriteFile(dir+"/recovery.signal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A recovery that ends begins a new timeline.
	s = testpg.Start(t, testpg.Bin(t, 15), dir, map[string]string{"restore_command": "false", "hot_standby": "off"})
	name, content, err := connect(t, s, Physical).TimelineHistory(t.Context(), 2)
	if err != nil || name != "00000002.history" || !strings.HasPrefix(string(content), "1\t0/") {
		t.Errorf("%s: %q, %v", name, content, err)
	}
}

func TestParseVersion(t *testing.T) {
	tests := []struct {
		in   string
		want int
	}{
		{"15.20 (Debian 15.20-0+deb12u1)", 150020},
		{"9.6.24", 90624},
		{"9.1", 90100},
		{"18beta1", 180000},
		{"17devel", 170000},
		{"10", 100000},
		{"", 0},
		{"ready", 0},
		{"99999999999999999999", 0},
	}
	for _, tt := range tests {
		got, err := ParseVersion(tt.in)
		if got != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%q: %d, %v", tt.in, got, err)
		}
	}
}
