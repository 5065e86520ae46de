package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// TestBackup takes base backups, goes on writing, and restores to every kind of target
// before and after each, with every PostgreSQL.
func TestBackup(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *native.Engine) {
		t.Parallel()
		into := filepath.Join(t.TempDir(), "bk")
		srv := startArchiving(t, e, into)
		write := func(i int) { exec(t, srv, fmt.Sprintf("INSERT INTO t VALUES (%d)", i)) }
		take := func(number int) Base {
			b, err := Take(t.Context(), srv, into, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b.Number != number || b.StartLSN == "" || b.EndLSN == "" || b.Timeline != 1 || b.End.Before(b.Start) {
				t.Errorf("base backup %d: %+v", number, b)
			}
			return b
		}
		exec(t, srv, "CREATE TABLE t (i int)")
		take(1)
		write(1)
		exec(t, srv, "SELECT pg_create_restore_point('one')")
		write(2)
		lsn := exec(t, srv, "SELECT pg_current_wal_insert_lsn()")
		write(3)
		second := take(2)
		write(4)
		between := time.Now()
		write(5)
		exec(t, srv, "SELECT pg_create_restore_point('two')")
		write(6)
		take(3)
		if err := awaitArchive(t.Context(), srv, walDir(into), archivePatience); err != nil {
			t.Fatal(err)
		}

		bases, err := List(into)
		if err != nil || len(bases) != 3 || bases[1].Dir != second.Dir || bases[1].FirstWAL != second.FirstWAL || bases[1].EndLSN != second.EndLSN {
			t.Fatalf("list: %+v, %v", bases, err)
		}
		for _, tt := range []struct {
			target    Target
			base, max int
		}{
			{Target{}, 3, 6},
			{Target{Base: 1}, 1, 6},
			{Target{Name: "one"}, 1, 1}, // 3 and 2 are behind it
			{Target{LSN: lsn}, 1, 2},
			{Target{Time: between}, 2, 4},
			{Target{Name: "two", Base: 2}, 2, 5},
		} {
			dir := filepath.Join(t.TempDir(), "restored")
			b, err := Restore(t.Context(), e, into, dir, tt.target, false, nil)
			if err != nil {
				t.Errorf("restore to %s: %v", tt.target, err)
				continue
			}
			restored := start(t, e, engines.Spec{Dir: dir, MustExist: true})
			got := exec(t, restored, "SELECT max(i) || ' ' || current_setting('archive_mode') FROM t")
			if want := fmt.Sprint(tt.max, " off"); b.Number != tt.base || got != want {
				t.Errorf("restore to %s from base %d has %s, want base %d, %s", tt.target, b.Number, got, tt.base, want)
			}
			stop(t, restored)
		}

		var steps []string
		for _, tt := range []struct {
			target Target
			want   string
		}{
			{Target{Name: "nowhere"}, `"nowhere" is not in the archived log behind base backup 3, 2, 1`},
			{Target{Name: "one", Base: 2}, "behind base backup 2"},
			{Target{LSN: "0/28"}, "after the target"},
			{Target{LSN: "here"}, "pg_lsn"},
			{Target{LSN: "F/0"}, "ended before"},
			{Target{Time: time.Unix(1, 0)}, "after the target"},
			{Target{Time: time.Now().Add(time.Hour)}, "ended before"},
			{Target{Name: "one", LSN: lsn}, "one target"},
			{Target{Base: 4}, "no base backup 4"},
		} {
			dir := filepath.Join(t.TempDir(), "restored")
			_, err := Restore(t.Context(), e, into, dir, tt.target, false, func(s string) { steps = append(steps, s) })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("restore to %+v: error %v, want %q", tt.target, err, tt.want)
			}
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("restore to %+v left its directory", tt.target)
			}
		}
		if all := strings.Join(steps, "\n"); !strings.Contains(all, "base backup 3 does not come to") {
			t.Errorf("steps: %s", all)
		}

		old, n, err := Prune(t.Context(), srv, into, 2)
		if err != nil || len(old) != 1 || old[0].Number != 1 || n == 0 {
			t.Errorf("prune: %+v, %d segments, %v", old, n, err)
		}
		if _, err := os.Stat(filepath.Join(walDir(into), second.FirstWAL)); err != nil {
			t.Error(err)
		}
		dir := filepath.Join(t.TempDir(), "restored")
		if b, err := Restore(t.Context(), e, into, dir, Target{Name: "two"}, false, nil); err != nil || b.Number != 2 {
			t.Errorf("restore after prune: base %d, %v", b.Number, err)
		}
	})
}

// TestClone clones running clusters, which start by themselves.
func TestClone(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *native.Engine) {
		srv := start(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "main")})
		exec(t, srv, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
		dir := filepath.Join(t.TempDir(), "copy")
		var last Progress
		if _, err := Clone(t.Context(), srv, dir, true, func(p Progress) { last = p }); err != nil {
			t.Fatal(err)
		}
		if last.Bytes == 0 || last.Total == 0 {
			t.Errorf("progress %+v", last)
		}
		clone := start(t, e, engines.Spec{Dir: dir, MustExist: true})
		if got := exec(t, clone, "SELECT count(*) FROM t"); got != "1000" {
			t.Errorf("%s rows", got)
		}
		if _, err := Clone(t.Context(), srv, dir, true, nil); err == nil {
			t.Error("cloned into a directory that is in use")
		}
	})
}
