package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

// majors are those whose protocols differ: 12 has no manifests and version 1 of pgoutput, 14
// has the positional syntax and a COPY for each archive, 15 and later have options in
// parentheses and one COPY for all.
var majors = []int{12, 14, 15, 18}

func connect(t *testing.T, s *testpg.Server, mode Mode) *Conn {
	t.Helper()
	c, err := Connect(t.Context(), s.Config(t, "postgres"), mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// fill makes tables with contents, an index, and a tablespace.
func fill(t *testing.T, s *testpg.Server) (tablespace string) {
	t.Helper()
	tablespace = filepath.Join(t.TempDir(), "space")
	if err := os.Mkdir(tablespace, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres",
		"create tablespace space location '"+tablespace+"'",
		"create table account (id int primary key, balance int not null)",
		"insert into account select i, 1000 from generate_series(1, 2000) i",
		"create table elsewhere (id int primary key, filler text) tablespace space",
		"insert into elsewhere select i, repeat('x', 500) from generate_series(1, 5000) i",
		"create extension amcheck",
	)
	return tablespace
}

// transfer moves money between accounts, keeping the sum, until the function that it
// returns is called, which says how many transactions there were.
func transfer(t *testing.T, s *testpg.Server) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	n := 0
	conn := s.Connect(t, "postgres")
	started := make(chan struct{})
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			err := pgx.BeginFunc(context.Background(), conn, func(tx pgx.Tx) error {
				b := &pgx.Batch{}
				b.Queue("update account set balance = balance - $1 where id = $2", i%97, i%2000+1)
				b.Queue("update account set balance = balance + $1 where id = $2", i%97, (i*7+13)%2000+1)
				return tx.SendBatch(context.Background(), b).Close()
			})
			if err != nil {
				t.Errorf("transfer: %v", err)
				return
			}
			if n++; n == 1 {
				close(started)
			}
		}
	})
	<-started
	return func() int {
		cancel()
		wg.Wait()
		return n
	}
}

func TestBaseBackup(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s := testpg.New(t, major, nil)
			space := fill(t, s)
			stop := transfer(t, s)

			target := filepath.Join(t.TempDir(), "copy")
			mapped := filepath.Join(t.TempDir(), "mapped")
			var last Progress
			calls := 0
			sink := &DirSink{Dir: target, NoSync: true, MapTablespace: func(ts Tablespace) (string, error) {
				if ts.Location != space {
					t.Errorf("tablespace at %s, want %s", ts.Location, space)
				}
				return mapped, nil
			}}
			c := connect(t, s, Physical)
			result, err := c.BaseBackup(t.Context(), sink, BaseBackupOptions{
				Label: "it's a test", Fast: true, WAL: true, Manifest: major >= 13,
				Progress: func(p Progress) {
					if p.Bytes < last.Bytes || p.Tablespace < 1 || p.Tablespace > p.Tablespaces {
						t.Errorf("progress went from %+v to %+v", last, p)
					}
					last = p
					calls++
				},
			})
			written := stop()
			if err != nil {
				t.Fatal(err)
			}
			if result.Start == 0 || result.End <= result.Start || result.Timeline != 1 || len(result.Tablespaces) != 2 {
				t.Errorf("result %+v", result)
			}
			if calls == 0 || last.Bytes != result.Bytes || last.Total < 5000*500 || last.Tablespaces != 2 {
				t.Errorf("%d calls of Progress, the last %+v; %d bytes", calls, last, result.Bytes)
			}
			if written == 0 {
				t.Error("nothing was written during the backup")
			}
			// The connection is as good as before.
			if _, err := c.IdentifySystem(t.Context()); err != nil {
				t.Error(err)
			}

			checkModes(t, target)
			checkModes(t, mapped)
			label, err := os.ReadFile(filepath.Join(target, "backup_label"))
			if err != nil || !strings.Contains(string(label), "LABEL: it's a test\n") {
				t.Errorf("backup_label: %q, %v", label, err)
			}
			if bin := testpg.Installed(major); bin != "" {
				out, err := exec.Command(filepath.Join(bin, "pg_verifybackup"), target).CombinedOutput()
				if err != nil {
					t.Errorf("pg_verifybackup: %v\n%s", err, out)
				}
			}
			s.Stop()
			checkCopy(t, testpg.Start(t, testpg.Bin(t, major), target, nil))
		})
	}
}

func checkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if want := map[fs.FileMode]fs.FileMode{0: 0o600, fs.ModeDir: 0o700}[fi.Mode().Type()]; want != 0 && fi.Mode().Perm() != want {
			return fmt.Errorf("%s has mode %v", path, fi.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// checkCopy checks what fill made and transfer kept going.
func checkCopy(t *testing.T, s *testpg.Server) {
	t.Helper()
	ctx := t.Context()
	conn := s.Connect(t, "postgres")
	var accounts, balance, moved, rows int
	if err := conn.QueryRow(ctx, "select count(*), sum(balance), count(*) filter (where balance <> 1000) from account").Scan(&accounts, &balance, &moved); err != nil {
		t.Fatal(err)
	}
	if accounts != 2000 || balance != 2000*1000 || moved == 0 {
		t.Errorf("%d accounts with %d in them, %d of them changed", accounts, balance, moved)
	}
	if err := conn.QueryRow(ctx, "select count(*) from elsewhere where length(filler) = 500").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != 5000 {
		t.Errorf("%d rows in the tablespace", rows)
	}
	if _, err := conn.Exec(ctx, "select bt_index_check(i, true) from unnest(array['account_pkey', 'elsewhere_pkey']::regclass[]) i"); err != nil {
		t.Error(err)
	}
}

func TestBaseBackupTar(t *testing.T) {
	for _, major := range []int{14, 15} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s := testpg.New(t, major, nil)
			fill(t, s)
			s.Exec(t, "postgres", "update account set balance = balance + case id when 1 then 1 else -1 end where id < 3")
			dir := filepath.Join(t.TempDir(), "tars")
			result, err := connect(t, s, Physical).BaseBackup(t.Context(), &TarSink{Dir: dir}, BaseBackupOptions{Fast: true, WAL: true, Manifest: true})
			if err != nil {
				t.Fatal(err)
			}
			s.Stop()
			// tar itself unpacks what we wrote, and the server makes links by tablespace_map.
			data := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, ts := range result.Tablespaces {
				to := data
				if ts.OID != 0 {
					to = filepath.Join(t.TempDir(), "moved")
					if err := os.Mkdir(to, 0o700); err != nil {
						t.Fatal(err)
					}
					m := fmt.Sprintf("%d %s\n", ts.OID, to)
					defer func() {
						if err := os.WriteFile(filepath.Join(data, "tablespace_map"), []byte(m), 0o600); err != nil {
							t.Fatal(err)
						}
						checkCopy(t, testpg.Start(t, testpg.Bin(t, major), data, nil))
					}()
				}
				out, err := exec.Command("tar", "--no-same-owner", "-xf", filepath.Join(dir, ts.Archive()), "-C", to).CombinedOutput()
				if err != nil {
					t.Fatalf("tar: %v\n%s", err, out)
				}
				if len(out) > 0 {
					t.Errorf("tar says: %s", out)
				}
			}
			if fi, err := os.Stat(filepath.Join(dir, "backup_manifest")); err != nil || fi.Size() == 0 {
				t.Errorf("manifest: %v", err)
			}
		})
	}
}

// TestBaseBackupInterrupted ends a backup in the middle in each way there is. Every one
// leaves an error and no directory.
func TestBaseBackupInterrupted(t *testing.T) {
	for _, major := range []int{14, 15} {
		s := testpg.New(t, major, nil)
		fill(t, s)
		sinkErr := errors.New("the sink is full")
		tests := []struct {
			name string
			do   func(c *Conn, cancel context.CancelCauseFunc)
			sink func(dir string) Sink
			want func(error) bool
		}{
			{
				name: "walsender terminated",
				do: func(c *Conn, _ context.CancelCauseFunc) {
					s.Exec(t, "postgres", fmt.Sprintf("select pg_terminate_backend(%d)", c.PID()))
				},
				want: func(err error) bool {
					var e *wire.Error
					return errors.As(err, &e) && e.Code == wire.CodeAdminShutdown || errors.Is(err, ErrClosed) || errors.Is(err, syscall.ECONNRESET)
				},
			},
			{
				name: "context ended",
				do:   func(_ *Conn, cancel context.CancelCauseFunc) { cancel(errors.New("enough")) },
				want: func(err error) bool { return strings.HasSuffix(err.Error(), "enough") },
			},
			{
				name: "connection lost",
				do:   func(c *Conn, _ context.CancelCauseFunc) { c.nc.Close() },
				want: func(err error) bool { return err != nil },
			},
			{
				name: "sink failed",
				do:   func(*Conn, context.CancelCauseFunc) {},
				sink: func(dir string) Sink { return &failingSink{DirSink{Dir: dir, NoSync: true}, 3 << 20, sinkErr} },
				want: func(err error) bool { return errors.Is(err, sinkErr) },
			},
			{
				name: "server killed",
				do:   func(*Conn, context.CancelCauseFunc) { s.Kill() },
				want: func(err error) bool { return err != nil },
			},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%d/%s", major, tt.name), func(t *testing.T) {
				c := connect(t, s, Physical)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				dir := filepath.Join(t.TempDir(), "copy")
				var sink Sink = &DirSink{Dir: dir, NoSync: true, MapTablespace: elsewhere(t)}
				if tt.sink != nil {
					sink = tt.sink(dir)
					sink.(*failingSink).MapTablespace = elsewhere(t)
				}
				var once sync.Once
				_, err := c.BaseBackup(ctx, sink, BaseBackupOptions{
					Fast: true, WAL: true,
					Progress: func(p Progress) {
						if p.Bytes > 2<<20 {
							once.Do(func() { tt.do(c, cancel) })
						}
					},
				})
				if err == nil || !tt.want(err) {
					t.Fatalf("error %v", err)
				}
				t.Log(err)
				if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the directory is still there: %v", err)
				}
				if c.Err() == nil {
					t.Error("the connection is said to be good")
				}
				if _, err := c.IdentifySystem(t.Context()); err == nil {
					t.Error("a broken connection answers")
				}
			})
		}
	}
}

func elsewhere(t *testing.T) func(Tablespace) (string, error) {
	dir := t.TempDir()
	return func(ts Tablespace) (string, error) { return filepath.Join(dir, fmt.Sprint(ts.OID)), nil }
}

// A failingSink fails after some bytes.
type failingSink struct {
	DirSink
	left int
	err  error
}

func (s *failingSink) Archive(ts Tablespace, r io.Reader) error {
	return s.DirSink.Archive(ts, readerFunc(func(p []byte) (int, error) {
		if s.left <= 0 {
			return 0, s.err
		}
		n, err := r.Read(p)
		s.left -= n
		return n, err
	}))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestBaseBackupRefused has the server refuse, which leaves the connection usable, and the
// target directory as it was.
func TestBaseBackupRefused(t *testing.T) {
	s := testpg.New(t, 15, nil)
	c := connect(t, s, Physical)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "precious"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := connect(t, s, Physical)
	_, err := full.BaseBackup(t.Context(), &DirSink{Dir: dir}, BaseBackupOptions{Fast: true})
	if err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("into a directory that is in use: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "precious")); err != nil {
		t.Error(err)
	}

	target := filepath.Join(t.TempDir(), "copy")
	_, err = c.BaseBackup(t.Context(), &DirSink{Dir: target}, BaseBackupOptions{Label: strings.Repeat("x", 2000), Fast: true})
	var e *wire.Error
	if !errors.As(err, &e) || c.Err() != nil {
		t.Errorf("label too long: %v, connection %v", err, c.Err())
	}
	for _, o := range []BaseBackupOptions{{MaxRate: 7}, {ManifestChecksums: "CRC32"}} {
		if _, err := c.BaseBackup(t.Context(), &DirSink{Dir: target}, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if _, err := c.BaseBackup(t.Context(), &DirSink{Dir: target}, BaseBackupOptions{Fast: true, WAL: true}); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
}

func TestBaseBackupCommand(t *testing.T) {
	all := BaseBackupOptions{Label: "l'", Fast: true, WAL: true, Manifest: true, ManifestChecksums: "SHA256", MaxRate: 32, NoVerify: true, Progress: func(Progress) {}}
	old := BaseBackupOptions{Fast: true, WAL: true, Progress: func(Progress) {}}
	tests := []struct {
		version int
		opts    BaseBackupOptions
		sink    Sink
		want    string
	}{
		{90100, old, &DirSink{}, "BASE_BACKUP LABEL 'pgx-dev base backup' PROGRESS FAST WAL NOWAIT"},
		{90600, old, &TarSink{}, "BASE_BACKUP LABEL 'pgx-dev base backup' PROGRESS FAST WAL NOWAIT TABLESPACE_MAP"},
		{140000, all, &DirSink{}, "BASE_BACKUP LABEL 'l''' PROGRESS FAST WAL NOWAIT MAX_RATE 32 NOVERIFY_CHECKSUMS MANIFEST 'yes' MANIFEST_CHECKSUMS 'SHA256'"},
		{150000, all, &TarSink{}, "BASE_BACKUP (LABEL 'l''', PROGRESS, CHECKPOINT 'fast', WAL, WAIT 0, MAX_RATE 32, TABLESPACE_MAP, VERIFY_CHECKSUMS 0, MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256')"},
		{90000, old, &DirSink{}, ""},
		{120000, all, &DirSink{}, ""},
	}
	for _, tt := range tests {
		got, err := tt.opts.command(tt.version, tt.sink)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("version %d:\n got %s (%v)\nwant %s", tt.version, got, err, tt.want)
		}
	}
}
