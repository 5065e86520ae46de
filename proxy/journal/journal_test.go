package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// lines is a buffer for several writers.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestJSON(t *testing.T) {
	for format, want := range map[conf.LogFormat]map[string]any{
		conf.LogJSON: {"level": "WARN", "fields": map[string]any{
			"message": "it fails", "server": "a", "error": "no", "at": map[string]any{"x": 1.0}, "deep.y": 2.0,
		}},
		conf.LogJSONFlattened: {"level": "WARN", "message": "it fails", "server": "a", "error": "no", "at.x": 1.0, "deep.y": 2.0},
	} {
		var out lines
		log := slog.New(NewJSON(&out, slog.LevelInfo, format)).With("server", "a")
		log.Debug("nobody wants to know")
		log.With("error", "no", slog.Group("at", "x", 1)).WithGroup("deep").Warn("it fails", "y", 2)
		var got map[string]any
		if err := json.Unmarshal([]byte(out.text()), &got); err != nil {
			t.Fatalf("%s: %v", out.text(), err)
		}
		if s, ok := got["timestamp"].(string); !ok {
			t.Errorf("timestamp %v", got["timestamp"])
		} else if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			t.Error(err)
		}
		delete(got, "timestamp")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
}

func TestDeduper(t *testing.T) {
	var out lines
	d := NewDeduper(time.Hour, 2)
	log := slog.New(d.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))).With("server", "a")
	for i := range 5 {
		log.Warn("it fails", "try", i)
	}
	log.Error("it fails")
	log.Warn("something else")
	d.Close()
	log.Warn("it fails", "try", "last")
	want := []string{
		"level=WARN msg=\"it fails\" server=a try=0", "level=WARN msg=\"it fails\" server=a try=1", "level=ERROR msg=\"it fails\" server=a",
		"level=WARN msg=\"something else\" server=a", "level=WARN msg=\"it fails\" server=a repeated=3 within=1h0m0s",
		"level=WARN msg=\"it fails\" server=a try=last",
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(out.text()), "\n")); diff != "" {
		t.Error(diff)
	}
}

// TestDeduperWindow has the window end by itself.
func TestDeduperWindow(t *testing.T) {
	var out lines
	d := NewDeduper(time.Millisecond, 1)
	defer d.Close()
	log := slog.New(d.Handler(slog.NewTextHandler(&out, nil)))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !strings.Contains(out.text(), "repeated=") {
		log.Warn("it fails")
		log.Warn("it fails")
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nothing is told")
		}
	}
}

func TestQueries(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queries.log")
	var out lines
	log := slog.New(slog.NewTextHandler(&out, nil))
	q, err := OpenQueries(path, log, log)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				q.Write(Query{User: "u", Database: "d", Query: "SELECT 'a\nb'\xff"})
			}
		})
	}
	wg.Wait()
	moved := filepath.Join(dir, "moved.log")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if err := q.Reopen(); err != nil {
		t.Fatal(err)
	}
	q.Write(Query{Query: "after"})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q.Write(Query{Query: "too late"})
	for name, want := range map[string]int{moved: 400, path: 1} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if fi, err := f.Stat(); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
		n := 0
		for sc := bufio.NewScanner(f); sc.Scan(); n++ {
			var e Query
			if err := json.Unmarshal(sc.Bytes(), &e); err != nil || e.Query == "" {
				t.Errorf("%s: %v", sc.Text(), err)
			}
		}
		if n != want {
			t.Errorf("%s has %d lines, want %d", name, n, want)
		}
		_ = f.Close()
	}
	if !strings.Contains(out.text(), "msg=query user=u database=d") {
		t.Errorf("the log: %.200s", out.text())
	}
	if _, err := OpenQueries(filepath.Join(dir, "no", "such"), nil, log); err == nil {
		t.Error("a directory that there is not")
	}
}
