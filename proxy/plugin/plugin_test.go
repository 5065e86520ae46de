package plugin

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/plugin/wat"
)

func load(t testing.TB, cfg Config) *Plugin {
	t.Helper()
	p, err := Load(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// module returns one whose pgx_route is body, with what else there has to be.
func module(body string) string {
	return `(module (import "pgx" "log" (func $log (param $p i32) (param $n i32))) (memory (export "memory") 1)
		(func (export "pgx_abi") (result i32) (i32.const 1))
		(func (export "pgx_alloc") (param $size i32) (result i32) (i32.const 1024))
		(func (export "pgx_route") (param $ptr i32) (param $len i32) (result i64) ` + body + `))`
}

const noOpinion = "(i64.const 0xFFFFFFFF00000000)"

// TestGuard runs the example.
func TestGuard(t *testing.T) {
	var log bytes.Buffer
	p := load(t, Config{Name: "guard", Code: wat.AssembleFile(t, "testdata/guard.wat"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), `text="guard is ready"`) {
		t.Errorf("the log: %s", log.String())
	}
	long := strings.Repeat("x", 300_000)
	for _, tt := range []struct {
		name  string
		facts Facts
		want  Verdict
	}{
		{"a read without a key", Facts{Kind: Select, Reads: true, Shards: 3}, Verdict{Shard: NoShard, Role: Replica}},
		{"a write without a key", Facts{Kind: Update, Shards: 3}, Verdict{Shard: NoShard}},
		{"a delete without a key", Facts{Kind: Delete, Shards: 3}, Verdict{Shard: NoShard, Block: true, Message: "a DELETE has to name its key"}},
		{"a delete with one", Facts{Kind: Delete, Shards: 3, Text: "DELETE …", Keys: []Key{{"t", "id", "1234567", false}}}, Verdict{Shard: int('7') % 3}},
		{"a read with one", Facts{Kind: Select, Reads: true, Shards: 10, Tables: []string{"a", "b"}, Keys: []Key{{"t", "id", "42", false}}, Params: [][]byte{nil, []byte("x")}}, Verdict{Shard: 0, Role: Replica}},
		{"a long one", Facts{Kind: Select, Text: long, Shards: 3}, Verdict{Shard: NoShard}},
		{"a short one after it", Facts{Kind: Select, Reads: true, Shards: 3}, Verdict{Shard: NoShard, Role: Replica}},
	} {
		v, err := p.Route(t.Context(), &tt.facts)
		if err != nil || v != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, v, err, tt.want)
		}
	}
	if _, err := Load(t.Context(), Config{Name: "guard", Code: wat.AssembleFile(t, "testdata/guard.wat"), Settings: "x"}); err == nil || !strings.Contains(err.Error(), "plugin guard: it refuses its settings (1): a DELETE") {
		t.Errorf("settings: %v", err)
	}
}

// TestBounds has plugins misbehave in every way there is.
func TestBounds(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"without end", "(forever (drop (i32.const 1))) (unreachable)", "it took longer than 50ms"},
		{"a trap", "(unreachable)", "unreachable"},
		{"beyond its memory", "(drop (i32.load (i32.const -8))) " + noOpinion, "out of bounds memory access"},
		{"divides by zero", "(drop (i32.div_u (i32.const 1) (i32.const 0))) " + noOpinion, "divide by zero"},
		{"a verdict of its own", "(i64.const 7)", "none of the protocol's"},
		{"a shard that is not there", "(i64.const 0x500000000)", "there is no shard 5: there are 2"},
		{"a shard below", "(i64.const 0xFFFFFFF000000000)", "there is no shard -16"},
		{"all the memory there is", "(forever (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (return (i64.const 7))))) (unreachable)", "none of the protocol's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Name: "bad", Code: wat.Assemble(t, module(tt.body)), Timeout: time.Minute, Memory: 1 << 20}
			if tt.name == "without end" {
				cfg.Timeout = 50 * time.Millisecond
			}
			p := load(t, cfg)
			for range 3 { // each time anew
				v, err := p.Route(t.Context(), &Facts{Shards: 2})
				if err == nil || !strings.Contains(err.Error(), tt.want) || v.Block || v.Shard != NoShard {
					t.Errorf("%+v, %v, want %s", v, err, tt.want)
				}
			}
		})
	}
	p := load(t, Config{Name: "ok", Code: wat.Assemble(t, module(noOpinion))})
	if _, err := p.Route(t.Context(), &Facts{Text: strings.Repeat("x", maxRequest)}); err == nil || !strings.Contains(err.Error(), "too long for plugins") {
		t.Errorf("a long query: %v", err)
	}
	if _, err := p.Route(t.Context(), &Facts{Text: strings.Repeat("x", 70_000)}); err == nil || !strings.Contains(err.Error(), "beyond its memory") {
		t.Errorf("pgx_alloc that lies: %v", err)
	}
	if v, err := p.Route(t.Context(), &Facts{}); err != nil || v != NoOpinion() {
		t.Errorf("after that: %+v, %v", v, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Route(ctx, &Facts{}); err == nil {
		t.Error("the caller has given up")
	}
}

func TestLoadErrors(t *testing.T) {
	for _, tt := range []struct{ name, code, want string }{
		{"no module", "", "is no WebAssembly module"},
		{"WASI", `(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param $a i32) (result i32))) (memory (export "memory") 1))`, "it imports wasi_snapshot_preview1.fd_write; plugins are given nothing but pgx.log"},
		{"another memory", `(module (import "env" "memory" (memory 1)))`, "it imports env.memory"},
		{"no memory", `(module)`, "it exports no memory"},
		{"nothing", `(module (memory (export "memory") 1))`, "it exports no pgx_abi"},
		{"another type", strings.Replace(module(noOpinion), `(export "pgx_abi") (result i32) (i32.const 1)`, `(export "pgx_abi") (result i64) (i64.const 1)`, 1), "its pgx_abi has another type"},
		{"another version", strings.Replace(module(noOpinion), `(result i32) (i32.const 1))`, `(result i32) (i32.const 2))`, 1), "it speaks version 2"},
		{"too much memory", strings.Replace(module(noOpinion), `(memory (export "memory") 1)`, `(memory (export "memory") 5000)`, 1), "over limit"},
		{"a log of another type", `(module (import "pgx" "log" (func $l (param $a i64))) (memory (export "memory") 1))`, "pgx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := []byte("x")
			if tt.code != "" {
				code = wat.Assemble(t, tt.code)
			}
			if _, err := Load(t.Context(), Config{Name: "p", Code: code}); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "plugin p: ") {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	if _, err := Load(t.Context(), Config{Name: "p", Code: wat.Assemble(t, module(noOpinion)), Settings: "x"}); err == nil || !strings.Contains(err.Error(), "no pgx_init") {
		t.Errorf("settings that nobody takes: %v", err)
	}
}

func TestChain(t *testing.T) {
	dir := t.TempDir()
	c := conf.DefaultConfig()
	for i, body := range []string{"(i64.const 0xFFFFFFFF00000100)", "(i64.const 0x100000200)", "(i64.const 0x200000200)"} {
		file := filepath.Join(dir, fmt.Sprint(i, ".wasm"))
		if err := os.WriteFile(file, wat.Assemble(t, module(body)), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Plugins = append(c.Plugins, conf.Plugin{Name: fmt.Sprint(i), Path: file})
	}
	chain, err := FromConfig(t.Context(), &c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = chain.Close() }()
	if v, err := chain.Route(t.Context(), &Facts{Shards: 3}); err != nil || v != (Verdict{Shard: 1, Role: Primary}) {
		t.Errorf("%+v, %v: the first opinions count", v, err)
	}
	guard := load(t, Config{Name: "block", Code: wat.Assemble(t, module("(i64.const 0xFFFFFFFF00000001)"))})
	if v, err := append(chain, guard).Route(t.Context(), &Facts{Shards: 3}); err != nil || !v.Block || v.Message != "blocked by plugin block" {
		t.Errorf("%+v, %v", v, err)
	}
	c.Plugins = append(c.Plugins, conf.Plugin{Name: "gone", Path: filepath.Join(dir, "gone")})
	if _, err := FromConfig(t.Context(), &c, nil); err == nil || !strings.Contains(err.Error(), "plugin gone") {
		t.Error(err)
	}
}

// TestConcurrent asks from many goroutines at once, with failures among them.
func TestConcurrent(t *testing.T) {
	p := load(t, Config{Name: "guard", Code: wat.AssembleFile(t, "testdata/guard.wat"), Timeout: time.Minute})
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 200 {
				f := Facts{Kind: Select, Shards: 10, Keys: []Key{{"t", "id", fmt.Sprint(n*1000 + i), false}}}
				if i%50 == 49 {
					f.Shards = 0 // it divides by zero
				}
				v, err := p.Route(t.Context(), &f)
				if i%50 == 49 {
					if err == nil {
						t.Error("no error")
					}
					continue
				}
				if err != nil || v.Shard != int('0'+byte(i%10))%10 {
					t.Errorf("%d: %+v, %v", i, v, err)
				}
			}
		})
	}
	wg.Wait()
	if len(p.idle) > p.cfg.Instances {
		t.Errorf("%d instances, want at most %d", len(p.idle), p.cfg.Instances)
	}
}

// TestRequest reads a request as a module would.
func TestRequest(t *testing.T) {
	f := Facts{
		Text: "SELECT $1", Kind: Select, Reads: true, Extended: true, Database: "app", User: "u", Shards: 4,
		Tables: []string{"public.t"}, Keys: []Key{{Table: "t", Column: "id", Value: "7"}, {Table: "t", Column: "id", Null: true}}, Params: [][]byte{nil, {}, []byte("x")},
	}
	b, err := f.AppendTo([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	b = b[len("before"):]
	u := func(at int) int { return int(binary.LittleEndian.Uint32(b[at:])) }
	s := func(at int) string {
		if uint32(u(at+4)) == null {
			return "NULL"
		}
		return string(b[u(at) : u(at)+u(at+4)])
	}
	got := fmt.Sprint(u(0), u(4), u(8), u(12), s(16), s(24), s(32), u(44), s(u(40)), u(52), s(u(48)), s(u(48)+8), s(u(48)+16), s(u(48)+24+16), u(60), s(u(56)), s(u(56)+8), s(u(56)+16))
	if want := fmt.Sprint(1, 1, 5, 4, "SELECT $1", "app", "u", 1, "public.t", 2, "t", "id", "7", "NULL", 3, "NULL", "", "x"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func FuzzVerdict(f *testing.F) {
	f.Add(uint64(0xFFFFFFFF00000000), 3)
	f.Add(uint64(0x100000201), 2)
	f.Add(uint64(1)<<63, 0)
	f.Fuzz(func(t *testing.T, v uint64, shards int) {
		if shards < 0 {
			return
		}
		got, err := parseVerdict(v, shards)
		if err == nil && (got.Shard < AllShards || got.Shard >= shards && got.Shard >= 0 || got.Role > Replica) {
			t.Errorf("%#x, %d: %+v", v, shards, got)
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	p := load(b, Config{Name: "guard", Code: wat.AssembleFile(b, "testdata/guard.wat")})
	f := Facts{Kind: Select, Reads: true, Shards: 3, Text: "SELECT abalance FROM pgbench_accounts WHERE aid = $1", Keys: []Key{{"t", "aid", "4711", false}}}
	b.Run("plugin", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Route(b.Context(), &f); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("baseline/none", func(b *testing.B) {
		var none Chain
		b.ReportAllocs()
		for b.Loop() {
			if _, err := none.Route(b.Context(), &f); err != nil {
				b.Fatal(err)
			}
		}
	})
}
