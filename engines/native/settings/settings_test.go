package settings_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/native/settings"
)

// connect starts a server and connects to it; both end with the test.
func connect(t *testing.T, dir string) (*pgx.Conn, engines.Server) {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Dir: dir, Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	conn, err := engines.Connect(t.Context(), srv, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, srv
}

// value returns the typed value of a setting.
func value(t *testing.T, conn *pgx.Conn, name string) settings.Value {
	t.Helper()
	s, err := settings.Get(t.Context(), conn, name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Value()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSettings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	conn, srv := connect(t, dir)
	ctx := t.Context()

	list, err := settings.List(ctx, conn)
	if err != nil || len(list) < 200 {
		t.Fatalf("%d settings (%v)", len(list), err)
	}
	kinds := map[string]bool{}
	for _, s := range list {
		if _, err := s.Value(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		kinds[fmt.Sprint(s.Kind, " ", s.Unit)] = true
	}
	for _, kind := range []string{"bool ", "integer 8kB", "integer kB", "integer ms", "integer s", "integer min", "real ", "string ", "enum "} {
		if !kinds[kind] {
			t.Errorf("no setting is of kind %q; there are %v", kind, kinds)
		}
	}

	for name, v := range map[string]settings.Value{
		"work_mem":                 7 * settings.MB,
		"statement_timeout":        settings.Duration(90 * time.Second),
		"enable_seqscan":           settings.Bool(false),
		"random_page_cost":         settings.Float(1.5),
		"from_collapse_limit":      settings.Int(3),
		"client_min_messages":      settings.Text("warning"),
		"search_path":              settings.Text("odd, 'name' \\"),
		"autovacuum_work_mem":      settings.Int(-1),
		"checkpoint_timeout":       settings.Duration(10 * time.Minute),
		"maintenance_work_mem":     1536 * settings.KB,
		"vacuum_cost_delay":        settings.Duration(2500 * time.Microsecond),
		"session_replication_role": settings.Text("origin"),
	} {
		if err := settings.Set(ctx, conn, name, v); err != nil {
			t.Errorf("set %s: %v", name, err)
			continue
		}
		if err := settings.Reload(ctx, conn); err != nil {
			t.Fatal(err)
		}
		want := v
		if name == "search_path" {
			want = settings.Text(`"odd, 'name' \"`) // one name, as Set takes a Text
		}
		if got := value(t, conn, name); got != want {
			t.Errorf("%s is %v after it was set to %v", name, got, v)
		}
	}
	if err := settings.Set(ctx, conn, "search_path", settings.Names{"a", "b c", "public"}); err != nil {
		t.Error(err)
	}
	if err := settings.Reload(ctx, conn); err != nil {
		t.Error(err)
	}
	if got := value(t, conn, "search_path"); got != settings.Text(`a, "b c", public`) {
		t.Errorf("search_path is %v", got)
	}

	s, err := settings.Get(ctx, conn, "WORK_MEM")
	if err != nil || s.Name != "work_mem" || !strings.HasSuffix(s.File, "postgresql.auto.conf") || s.Line == 0 ||
		s.Source != "configuration file" || s.Context != "user" || s.Boot != "4096" || s.Min == "" || s.Category == "" || s.Short == "" {
		t.Errorf("work_mem is %+v (%v)", s, err)
	}
	if err := settings.Reset(ctx, conn, "work_mem"); err != nil {
		t.Error(err)
	}
	if err := settings.Reload(ctx, conn); err != nil {
		t.Error(err)
	}
	if got := value(t, conn, "work_mem"); got != 4*settings.MB {
		t.Errorf("work_mem is %v after it was reset", got)
	}

	// One that needs a restart waits for it.
	if err := settings.Set(ctx, conn, "max_connections", settings.Int(33)); err != nil {
		t.Error(err)
	}
	if err := settings.Reload(ctx, conn); err != nil {
		t.Error(err)
	}
	if s, err = settings.Get(ctx, conn, "max_connections"); err != nil || !s.PendingRestart || !s.NeedsRestart() || s.Text == "33" {
		t.Errorf("max_connections is %+v (%v)", s, err)
	}
	if err := conn.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := srv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	conn, _ = connect(t, dir)
	if got := value(t, conn, "max_connections"); got != settings.Int(33) {
		t.Errorf("max_connections is %v after a restart", got)
	}
	if got := value(t, conn, "statement_timeout"); got != settings.Duration(90*time.Second) {
		t.Errorf("statement_timeout is %v after a restart", got)
	}
	if err := settings.ResetAll(ctx, conn); err != nil {
		t.Error(err)
	}
	if err := settings.Reload(ctx, conn); err != nil {
		t.Error(err)
	}
	if got := value(t, conn, "statement_timeout"); got != settings.Duration(0) {
		t.Errorf("statement_timeout is %v after all was reset", got)
	}
}

func TestErrors(t *testing.T) {
	conn, srv := connect(t, "")
	ctx := t.Context()
	for _, name := range []string{"no_such_setting", "", "x; DROP TABLE y", `a"b`} {
		if _, err := settings.Get(ctx, conn, name); !errors.Is(err, settings.ErrUnknown) {
			t.Errorf("get %q: %v", name, err)
		}
		if err := settings.Set(ctx, conn, name, settings.Int(1)); !errors.Is(err, settings.ErrUnknown) {
			t.Errorf("set %q: %v", name, err)
		}
		if err := settings.Reset(ctx, conn, name); !errors.Is(err, settings.ErrUnknown) {
			t.Errorf("reset %q: %v", name, err)
		}
	}
	for name, v := range map[string]settings.Value{
		"work_mem": settings.Text("much"), "statement_timeout": settings.Int(-5), "wal_level": settings.Text("none"),
		"server_version": settings.Text("1"), "shared_preload_libraries": settings.Names{}, "search_path": settings.Names{"a", ""},
	} {
		if err := settings.Set(ctx, conn, name, v); err == nil || errors.Is(err, settings.ErrUnknown) {
			t.Errorf("set %s to %v: %v", name, v, err)
		}
	}
	// A file that somebody else spoiled.
	auto := filepath.Join(srv.Info().Dir, "postgresql.auto.conf")
	if err := os.WriteFile(auto, []byte("work_mem = 'much'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := settings.Reload(ctx, conn); err == nil || !strings.Contains(err.Error(), auto+":1: work_mem") {
		t.Errorf("reload of a spoiled file: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := settings.Reload(gone, conn); !errors.Is(err, context.Canceled) {
		t.Errorf("reload out of time: %v", err)
	}
}
