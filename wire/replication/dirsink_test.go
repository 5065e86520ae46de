package replication

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

func tarOf(t *testing.T, headers ...tar.Header) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o777
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("evil")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

// TestDirSinkEscape unpacks what a hostile server may send. Nothing may come to be outside
// of the directory.
func TestDirSinkEscape(t *testing.T) {
	outside := t.TempDir()
	space := Tablespace{OID: 16385, Location: "/on/the/server"}
	tests := []struct {
		name    string
		in      Tablespace
		headers []tar.Header
	}{
		{"dots", Tablespace{}, []tar.Header{{Name: "../evil", Typeflag: tar.TypeReg}}},
		{"dots inside", Tablespace{}, []tar.Header{{Name: "base", Typeflag: tar.TypeDir}, {Name: "base/../../evil", Typeflag: tar.TypeReg}}},
		{"dots in a tablespace", space, []tar.Header{{Name: "PG_15/../../evil", Typeflag: tar.TypeReg}}},
		{"absolute", Tablespace{}, []tar.Header{{Name: filepath.Join(outside, "evil"), Typeflag: tar.TypeReg}}},
		{"link elsewhere", Tablespace{}, []tar.Header{{Name: "base", Typeflag: tar.TypeSymlink, Linkname: outside}}},
		{"link to no tablespace", Tablespace{}, []tar.Header{{Name: "pg_tblspc", Typeflag: tar.TypeDir}, {Name: "pg_tblspc/1", Typeflag: tar.TypeSymlink, Linkname: outside}}},
		{"link from a tablespace", space, []tar.Header{{Name: "pg_tblspc", Typeflag: tar.TypeDir}, {Name: "pg_tblspc/16385", Typeflag: tar.TypeSymlink, Linkname: outside}}},
		{"through a link", Tablespace{}, []tar.Header{
			{Name: "pg_tblspc", Typeflag: tar.TypeDir},
			{Name: "pg_tblspc/16385", Typeflag: tar.TypeSymlink, Linkname: outside},
			{Name: "pg_tblspc/16385/evil", Typeflag: tar.TypeReg},
		}},
		{"hard link", Tablespace{}, []tar.Header{{Name: "passwd", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}}},
		{"device", Tablespace{}, []tar.Header{{Name: "null", Typeflag: tar.TypeChar}}},
		{"pipe", Tablespace{}, []tar.Header{{Name: "pipe", Typeflag: tar.TypeFifo}}},
		{"file for a directory", Tablespace{}, []tar.Header{{Name: "base", Typeflag: tar.TypeReg}, {Name: "base", Typeflag: tar.TypeDir}}},
		{"not announced", Tablespace{OID: 7}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			mapped := filepath.Join(parent, "space")
			s := &DirSink{Dir: filepath.Join(parent, "data"), MapTablespace: func(Tablespace) (string, error) { return mapped, nil }}
			if err := s.Begin([]Tablespace{{}, space}); err != nil {
				t.Fatal(err)
			}
			if err := s.Archive(tt.in, tarOf(t, tt.headers...)); err == nil {
				t.Error("it was unpacked")
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside there is %v, %v", entries, err)
			}
			if entries, err := os.ReadDir(parent); err != nil || len(entries) != 2 {
				t.Errorf("beside the directories there is %v, %v", entries, err)
			}
			if err := s.Abort(); err != nil {
				t.Error(err)
			}
			if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
				t.Errorf("after Abort there is %v, %v", entries, err)
			}
		})
	}
}

func TestDirSinkPlaces(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	for _, to := range []string{"relative", full, filepath.Join(dir, "base"), dir} {
		s := &DirSink{Dir: dir, MapTablespace: func(Tablespace) (string, error) { return to, nil }}
		if err := s.Begin([]Tablespace{{OID: 1, Location: "/x"}, {}}); err == nil {
			t.Errorf("a tablespace may go to %s", to)
		}
		if err := s.Abort(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(full, "f")); err != nil {
		t.Errorf("Abort removed a file that was there before: %v", err)
	}
	// A directory that was there stays, empty.
	existing := t.TempDir()
	s := &DirSink{Dir: existing}
	if err := s.Begin([]Tablespace{{}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Archive(Tablespace{}, tarOf(t, tar.Header{Name: "PG_VERSION", Typeflag: tar.TypeReg})); err != nil {
		t.Fatal(err)
	}
	if err := s.Abort(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(existing); err != nil || len(entries) > 0 {
		t.Errorf("after Abort: %v, %v", entries, err)
	}
}

// TestBaseBackupDiskFull copies a cluster onto a disk that is too small for it.
func TestBaseBackupDiskFull(t *testing.T) {
	small, ok := smallDisk(t, 8<<20)
	dir := DirSink{Dir: filepath.Join(small, "dir"), NoSync: true}
	sinks := []Sink{&dir, &TarSink{Dir: filepath.Join(small, "tars")}}
	if !ok {
		sinks = []Sink{&failingSink{dir, 8 << 20, syscall.ENOSPC}}
	}
	for _, sink := range sinks {
		s := testpg.New(t, 15, nil)
		c := connect(t, s, Physical)
		_, err := c.BaseBackup(t.Context(), sink, BaseBackupOptions{Fast: true, WAL: true})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("error %v", err)
		}
		t.Log(err)
		if entries, err := os.ReadDir(small); err != nil || len(entries) > 0 {
			t.Errorf("on the disk: %v, %v", entries, err)
		}
		// The server has not been harmed.
		s.Exec(t, "postgres", "create table t ()")
	}
}

// smallDisk returns a directory that holds at most size bytes; where the process may not
// mount one, it returns another one and false.
func smallDisk(t *testing.T, size int) (string, bool) {
	t.Helper()
	dir := t.TempDir()
	if err := mountSmall(dir, size); err != nil {
		t.Logf("no small disk: %v", err)
		return dir, false
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return dir, true
}
