package cluster_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// tempRoot gives the test a root for temporary clusters of its own.
func tempRoot(t *testing.T) string {
	t.Helper()
	parent := t.TempDir()
	t.Setenv("PGX_DEV_TEMP", parent)
	return filepath.Join(parent, "pgx-dev-temp-"+strconv.Itoa(os.Getuid()))
}

// entries lists a root without the files that stay for ever, once the supervisors have
// removed what they renamed.
func entries(t *testing.T, root string) []string {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		var names []string
		all, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		doomed := false
		for _, e := range all {
			doomed = doomed || strings.Contains(e.Name(), ".tmp-")
			if e.Name() != "names.lock" && e.Name() != "spares" {
				names = append(names, e.Name())
			}
		}
		if !doomed {
			return names
		}
		select {
		case <-deadline:
			return names
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func TestTempIsDestroyed(t *testing.T) {
	root := tempRoot(t)
	m := manager()
	srv, err := m.OpenTemp(t.Context(), fake(""), cluster.TempOptions{Project: "/p", Spare: "none"})
	if err != nil {
		t.Fatal(err)
	}
	names, err := cluster.Names("/p")
	if err != nil || len(names) != 1 {
		t.Fatalf("names %v, %v", names, err)
	}
	if dir, err := cluster.Find("/p", names[0]); err != nil || dir != srv.Info().Dir {
		t.Errorf("Find: %s, %v", dir, err)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left := entries(t, root); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestTempSharedByName(t *testing.T) {
	tempRoot(t)
	m := manager()
	opts := cluster.TempOptions{Name: "x", Project: "/p", Spare: "none"}
	a, err := m.OpenTemp(t.Context(), fake(""), opts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.OpenTemp(t.Context(), fake(""), opts)
	if err != nil {
		t.Fatal(err)
	}
	if a.Info().Dir != b.Info().Dir {
		t.Errorf("two clusters of one name: %s, %s", a.Info().Dir, b.Info().Dir)
	}
	opts.Project = "/other"
	c, err := m.OpenTemp(t.Context(), fake(""), opts)
	if err != nil {
		t.Fatal(err)
	}
	if a.Info().Dir == c.Info().Dir {
		t.Error("two projects share a cluster")
	}
	for _, s := range []*cluster.Server{a, b, c} {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestSpares(t *testing.T) {
	for _, mode := range []string{"copied", "running"} {
		t.Run(mode, func(t *testing.T) {
			root := tempRoot(t)
			m := manager()
			opts := cluster.TempOptions{Project: "/p", Spare: mode}
			srv, err := m.OpenTemp(t.Context(), fake(""), opts)
			if err != nil {
				t.Fatal(err)
			}
			spare := awaitSpare(t, root)
			if err := srv.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if st := inspect(t, filepath.Join(root, spare)); (st.State == cluster.Running) != (mode == "running") {
				t.Errorf("the spare is %s", st.State)
			}
			second, err := m.OpenTemp(t.Context(), fake(""), opts)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(second.Info().Dir) != spare {
				t.Errorf("the second got %s, not the spare %s", second.Info().Dir, spare)
			}
			next := awaitSpare(t, root)
			if next == spare {
				t.Error("one spare for two")
			}
			if err := second.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(root, spare)); err == nil {
				t.Error("the claimed spare is still there")
			}
			if err := m.Destroy(t.Context(), filepath.Join(root, next), true); err != nil {
				t.Error(err)
			}
		})
	}
}

// A spare that is made while somebody sweeps is there for the next one.
func TestSweepLeavesSpares(t *testing.T) {
	root := tempRoot(t)
	m := manager()
	over := make(chan struct{})
	var sweepers sync.WaitGroup
	for range 3 {
		sweepers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if _, err := cluster.SweepTemp(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	spare := ""
	for range 30 {
		srv, err := m.OpenTemp(t.Context(), fake(""), cluster.TempOptions{Project: "/p", Spare: "copied"})
		if err != nil {
			t.Fatal(err)
		}
		if got := filepath.Base(srv.Info().Dir); spare != "" && got != spare {
			t.Errorf("got %s, not the spare %s", got, spare)
		}
		spare = awaitSpare(t, root)
		if err := srv.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(over)
	sweepers.Wait()
	if err := m.Destroy(t.Context(), filepath.Join(root, spare), true); err != nil {
		t.Error(err)
	}
}

// Whatever they are for, only so many spares wait, and those are the newest.
func TestSparesAreBounded(t *testing.T) {
	for mode, limit := range map[string]int{"copied": 4, "running": 2} {
		t.Run(mode, func(t *testing.T) {
			root := tempRoot(t)
			m := manager()
			var made []string
			for i := range limit + 3 {
				req := fake("")
				req.Spec.User = "user" + strconv.Itoa(i)
				srv, err := m.OpenTemp(t.Context(), req, cluster.TempOptions{Project: "/p", Spare: mode})
				if err != nil {
					t.Fatal(err)
				}
				if err := srv.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				made = append(made, awaitSpares(t, func(have []string) string {
					for _, name := range have {
						if !slices.Contains(made, name) {
							return name
						}
					}
					return ""
				}))
			}
			want := slices.Clone(made[len(made)-limit:])
			slices.Reverse(want)
			awaitSpares(t, func(have []string) string {
				if slices.Equal(have, want) {
					return "the newest"
				}
				return ""
			})
			for _, name := range made[:len(made)-limit] {
				awaitGone(t, filepath.Join(root, name))
			}
			for _, name := range want {
				if st := inspect(t, filepath.Join(root, name)); (st.State == cluster.Running) != (mode == "running") {
					t.Errorf("the spare %s is %s", name, st.State)
				}
				if err := m.Destroy(t.Context(), filepath.Join(root, name), true); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// awaitSpares waits until accept, which gets the names of the spares, newest first, says
// something.
func awaitSpares(t *testing.T, accept func(names []string) string) string {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		var names []string
		for _, spare := range cluster.Spares() {
			names = append(names, filepath.Base(spare.Dir))
		}
		if said := accept(names); said != "" {
			return said
		}
		select {
		case <-deadline:
			t.Fatalf("the spares are %v", names)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func awaitGone(t *testing.T, dir string) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s is still there", dir)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// awaitSpare waits for the marker of a spare and returns its name.
func awaitSpare(t *testing.T, root string) string {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		markers, err := filepath.Glob(filepath.Join(root, "spares", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(markers) == 1 {
			return filepath.Base(markers[0])
		}
		select {
		case <-deadline:
			t.Fatalf("no spare: %v", markers)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func TestSweep(t *testing.T) {
	root := tempRoot(t)
	m := manager()
	opts := cluster.TempOptions{Project: "/p", Spare: "none"}
	// Its supervisor sweeps too: when this has gone, it has listed what there is.
	canary := filepath.Join(root, "canary.tmp-999999999")
	if err := os.MkdirAll(canary, 0o700); err != nil {
		t.Fatal(err)
	}
	live, err := m.OpenTemp(t.Context(), fake(""), opts)
	if err != nil {
		t.Fatal(err)
	}
	awaitGone(t, canary)
	dead, err := m.OpenTemp(t.Context(), fake(""), opts)
	if err != nil {
		t.Fatal(err)
	}
	st := inspect(t, dead.Info().Dir)
	b, err := os.ReadFile(filepath.Join(st.Dir, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(atoi(t, string(b)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-dead.Done()
	awaitState(t, st.Dir, cluster.Stopped) // its lock goes a moment after its connections
	unfinished := filepath.Join(root, "abc.tmp-999999999")
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	if n, err := cluster.SweepTemp(); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if _, err := os.Stat(unfinished); err == nil {
		t.Error("an unfinished directory of a dead process is still there")
	}
	if _, err := os.Stat(live.Info().Dir); err != nil {
		t.Errorf("swept a live one: %v", err)
	}
	for _, s := range []*cluster.Server{live, dead} {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if left := entries(t, root); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// What a killed temporary cluster leaves stands for nothing: its name is free again.
func TestStaleTemp(t *testing.T) {
	tempRoot(t)
	m := manager()
	opts := cluster.TempOptions{Name: "x", Project: "/p", Spare: "none"}
	first, err := m.OpenTemp(t.Context(), fake(""), opts)
	if err != nil {
		t.Fatal(err)
	}
	dir := first.Info().Dir
	b, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(atoi(t, string(b)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	awaitState(t, dir, cluster.Stopped)
	if found, err := cluster.FindTemp("/p", "x"); err == nil {
		t.Errorf("found the dead one in %s", found)
	}
	if names, err := cluster.Names("/p"); err != nil || len(names) > 0 {
		t.Errorf("names %v, %v", names, err)
	}
	if _, err := m.Open(t.Context(), fake(dir)); err == nil {
		t.Error("opened it as an ordinary one")
	}
	second, err := m.OpenTemp(t.Context(), fake(""), opts)
	if err != nil {
		t.Fatal(err)
	}
	if second.Info().Dir == dir {
		t.Error("the second got what the first left")
	}
	for _, s := range []*cluster.Server{first, second} {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
