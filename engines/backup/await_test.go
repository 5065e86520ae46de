package backup

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// TestSwitchWAL checks which segment is waited for: the one that was written to, and when
// nothing was written since, the same.
func TestSwitchWAL(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *native.Engine) {
		into := filepath.Join(t.TempDir(), "it's 100%f of bk")
		srv := startArchiving(t, e, into)
		if err := Check(t.Context(), srv, into); err != nil {
			t.Fatal(err)
		}
		conn, err := engines.Connect(t.Context(), srv, "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		written := exec(t, srv, "CREATE TABLE t AS SELECT 1 AS i", "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
		for _, what := range []string{"written", "nothing written"} {
			got, err := switchWAL(t.Context(), conn, srv.Info().VersionNum)
			if err != nil || got != written {
				t.Errorf("%s: segment %s (%v), want %s", what, got, err, written)
			}
		}
		// Waiting ends either way, and then the segment is there.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 {
			if err := awaitArchive(ctx, srv, walDir(into), archivePatience); err != nil {
				t.Fatal(err)
			}
		}
		if same, err := sameContent(filepath.Join(walDir(into), written), filepath.Join(walDir(into), written)); err != nil || !same {
			t.Errorf("the segment %s is not in the archive: %v", written, err)
		}
	})
}

// TestAwaitArchiveFails has the archive_command fail, which is reported rather than waited
// out.
func TestAwaitArchiveFails(t *testing.T) {
	rts, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	srv := start(t, engineOf(rts[0]), engines.Spec{Dir: filepath.Join(t.TempDir(), "main"), Params: map[string]string{
		"archive_mode": "on", "archive_command": "false",
	}})
	// That a file of its name is there does not make it archived.
	segment := exec(t, srv, "CREATE TABLE t AS SELECT 1 AS i", "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
	if err := os.WriteFile(filepath.Join(into, segment), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := awaitArchive(ctx, srv, into, archivePatience); err == nil || !strings.Contains(err.Error(), srv.Info().LogFile) {
		t.Errorf("got %v", err)
	}
}

// TestAwaitArchiveHangs has the archive_command hang, which is told after a while.
func TestAwaitArchiveHangs(t *testing.T) {
	rts, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	into, hangs := t.TempDir(), filepath.Join(t.TempDir(), "hangs")
	if err := os.WriteFile(hangs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	srv := start(t, engineOf(rts[0]), engines.Spec{Dir: filepath.Join(t.TempDir(), "main"), Params: map[string]string{
		"archive_mode": "on", "archive_command": "while test -e " + hangs + "; do sleep 0.05; done",
	}})
	defer func() { _ = os.Remove(hangs) }() // a server that ends waits for it
	segment := exec(t, srv, "CREATE TABLE t AS SELECT 1 AS i", "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = awaitArchive(ctx, srv, into, 500*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), segment+" (ready)") || !strings.Contains(err.Error(), "archived nothing for 500ms") {
		t.Errorf("got %v", err)
	}
}
