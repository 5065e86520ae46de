package databases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/lease"
)

// smallDisk is set, to a directory, in the process that has a small file system there.
const smallDisk = "PGX_DEV_TEST_SMALL_DISK"

// TestFullDisk fills the disk that the databases are on while there is somebody who waits:
// who set a time is told why, who did not goes on waiting, and is served when there is room
// again. It runs in a process with a mount namespace, and a tmpfs, of its own.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv(smallDisk); dir != "" {
		fullDisk(t, dir)
		return
	}
	var out []byte
	var err error
	for _, attr := range []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNS},
		{
			Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v", "-test.count=1")
		cmd.Env = append(os.Environ(), smallDisk+"="+t.TempDir())
		cmd.SysProcAttr = attr
		if out, err = cmd.CombinedOutput(); !errors.Is(err, syscall.EPERM) {
			break
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if !strings.Contains(string(out), "the disk was full") {
		t.Errorf("the disk was never full:\n%s", out)
	}
}

func fullDisk(t *testing.T, dir string) {
	// So that nobody else sees it, and it goes with this process.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal("make mounts private: ", err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Fatal("mount a small file system: ", err)
	}
	open := func(ctx context.Context) (Host, error) {
		srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Dir: filepath.Join(dir, "data"), Fast: true})
		if err != nil {
			return nil, err
		}
		return OnServer(srv, "a small disk"), nil
	}
	files := migrations(t, map[string]string{"1.sql": schema})
	cfg := config(t, files, func(p *lease.PoolConfig) {
		p.Name, p.Prefix, p.Migrations, p.Count, p.Wait = "full", "full_", []string{"1.sql"}, new(12), 0
	})
	p := lease.NewPool(cfg.Pool, New(cfg, open), nil)
	p.Start()
	closed := false
	defer func() {
		if !closed {
			_ = p.Close(context.Background())
		}
	}()
	first, err := p.Acquire(t.Context(), lease.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(buf)
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	// What was made before is lent first.
	held := []*lease.Lease{first}
	var waiting *lease.Request
	var st lease.PoolStatus
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(10 * time.Millisecond) {
		if waiting == nil {
			waiting = p.Request(lease.Holder{Label: "patient"})
		}
		if st = p.Status(); strings.Contains(st.Error, "No space left on device") && len(st.Waiting) > 0 {
			break
		}
		select {
		case <-waiting.Done():
			l, err := waiting.Lease()
			if err != nil {
				t.Fatal(err)
			}
			held, waiting = append(held, l), nil
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the full disk does not show: %+v", st)
		}
	}
	t.Log("the disk was full: " + st.Error)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Acquire(ctx, lease.Holder{}); err == nil {
		t.Error("a database was lent from a full disk")
	}
	select {
	case <-waiting.Done():
		_, err := waiting.Lease()
		t.Fatalf("the one who waits without end was told %v", err)
	default:
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	select {
	case <-waiting.Done():
	case <-time.After(2 * time.Minute):
		t.Fatalf("the pool does not heal: %+v", p.Status())
	}
	l, err := waiting.Lease()
	if err != nil {
		t.Fatal(err)
	}
	checkFresh(t, "after the full disk", l.Item)
	for _, l := range append(held, l) {
		l.Release()
	}
	closed = true
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	// Nothing is left that was half made.
	host, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close(context.Background())
	if left := databases(t, host.(onServer).srv, "full%"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if left := databases(t, host.(onServer).srv, "pgxdev_build%"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestHalfMadeByCommand has the command that builds the template fail half-way, on a device
// that is full: its output says so, and nothing half made is seen.
func TestHalfMadeByCommand(t *testing.T) {
	srv := server(t)
	s := newSource(t, config(t, t.TempDir(), func(p *lease.PoolConfig) {
		p.Prefix = "half_"
		p.Command = []string{"sh", "-c", "psql -Xqc 'CREATE TABLE half (id int)' && cat /dev/zero > /dev/full"}
	}), opener(srv))
	_, err := s.Create(t.Context())
	if !errors.Is(err, lease.ErrHopeless) || !strings.Contains(fmt.Sprint(err), "No space left on device") {
		t.Errorf("the command failed with %v", err)
	}
	if left := databases(t, srv, "pgxdev_build%"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
