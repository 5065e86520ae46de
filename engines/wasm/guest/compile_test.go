package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/engines/wasm/pglite"
	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// TestRewriting pins what is made of the package's modules. Who changes it raises rewriting,
// else outlines in the caches of this version's users would stand for what is no longer made.
func TestRewriting(t *testing.T) {
	const (
		version = 1
		want    = "20bd4245a06d2525feea571d3133c58e"
	)
	cache, err := place.Cache()
	if err != nil {
		t.Fatal(err)
	}
	files, err := pglite.Source{Dir: filepath.Join(cache, "wasm")}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for _, f := range []struct {
		name   string
		change rewriter
	}{
		{"pglite.wasm", changed},
		{"root/pglite/lib/postgresql/plpgsql.so", pollSide},
		{"root/pglite/lib/postgresql/pgcrypto.so", pollSide},
	} {
		code, err := os.ReadFile(filepath.Join(files.Dir, filepath.FromSlash(f.name)))
		if err != nil {
			t.Fatal(err)
		}
		m, err := rewrite(code, f.change)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(m.Bytes())
	}
	if got := hex.EncodeToString(sum.Sum(nil)[:16]); got != want || rewriting != version {
		t.Errorf("rewriting is %d, and what it makes has the hash %s; this test says %d and %s: "+
			"change the test, and unless the package is another one, raise rewriting", rewriting, got, version, want)
	}
}

// newCompiler returns a Runtime that can compile, and nothing else.
func newCompiler(t *testing.T, dir string) *Runtime {
	t.Helper()
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	rt := &Runtime{cacheDir: dir, cache: cache, wz: wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCompilationCache(cache))}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return rt
}

// answering is a module whose function answer returns 6, and a rewriter that makes it 7. Both
// have a hundred functions more.
func answering(t *testing.T) ([]byte, rewriter) {
	t.Helper()
	var w wasmbin.Builder
	typ := wasmbin.FuncType{Results: []byte{wasmbin.I32}}
	for range 100 {
		w.Func(typ, []byte{wasmbin.OpI32Const, 1})
	}
	f := w.Func(typ, []byte{wasmbin.OpI32Const, 6})
	w.Export("answer", wasmbin.KindFunc, f)
	return w.Bytes(), func(m *wasmbin.Module) ([]byte, Symbols, error) {
		e := m.Edit()
		for in := range m.Instructions(f) {
			if in.Op == wasmbin.OpI32Const {
				if err := e.Insert(f, in.End, wasmbin.OpI32Const, 1, 0x6a); err != nil { // i32.add
					return nil, Symbols{}, err
				}
			}
		}
		return e.Bytes(), Symbols{PreparedQueries: 42}, nil
	}
}

func checkAnswer(t *testing.T, rt *Runtime, m *module) {
	t.Helper()
	mod, err := rt.wz.InstantiateModule(t.Context(), m.compiled, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(t.Context())
	if got, err := mod.ExportedFunction("answer").Call(t.Context()); err != nil || got[0] != 7 || m.symbols.PreparedQueries != 42 {
		t.Errorf("%v, %v with symbols %+v; want 7 with 42", got, err, m.symbols)
	}
}

// TestModuleCache checks that a module is made once for all who share a cache, and that what
// others read of it is its outline.
func TestModuleCache(t *testing.T) {
	dir := t.TempDir()
	code, change := answering(t)
	var made atomic.Int32
	counted := func(m *wasmbin.Module) ([]byte, Symbols, error) {
		made.Add(1)
		return change(m)
	}
	if _, err := newCompiler(t, dir).module(t.Context(), code, counted, false); !errors.Is(err, errNotCached) {
		t.Fatalf("%v, want errNotCached", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		rt := newCompiler(t, dir)
		wg.Go(func() {
			m, err := rt.module(t.Context(), code, counted, true)
			if err != nil {
				t.Error(err)
				return
			}
			checkAnswer(t, rt, m)
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("it was made %d times", made.Load())
	}
	rt := newCompiler(t, dir)
	m, err := rt.module(t.Context(), code, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, rt, m)
	fresh, err := rt.wz.InstantiateWithConfig(t.Context(), append(bytes.Clone(m.Bytes()), 0, 3, 1, 'x', 0), wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.ExportedFunction("answer").Call(t.Context()); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("an outline without its machine code: %v, want a trap", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*[kp]")) // .lock, .tmp
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := newCompiler(t, dir).module(t.Context(), code, func(*wasmbin.Module) ([]byte, Symbols, error) {
		return nil, Symbols{}, context.Canceled
	}, true); err != nil {
		t.Errorf("what is in the cache was made again: %v", err)
	}
}

// TestDamagedCache damages each part of what is in the cache; it is made again.
func TestDamagedCache(t *testing.T) {
	dir := t.TempDir()
	code, change := answering(t)
	rt := newCompiler(t, dir)
	if _, err := rt.module(t.Context(), code, change, true); err != nil {
		t.Fatal(err)
	}
	find := func(pattern string) string {
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %v", pattern, list, err)
		}
		return list[0]
	}
	outline, machine := find("outline-*"), find("wazero-*/*")
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte {
			b[(at+len(b))%len(b)] ^= 0x10
			return b
		}
	}
	cut := func(n int) func(b []byte) []byte {
		return func(b []byte) []byte { return b[:(n+len(b))%len(b)] }
	}
	for name, d := range map[string]struct {
		file string
		do   func(b []byte) []byte
	}{
		"outline: magic":         {outline, flip(3)},
		"outline: sum":           {outline, flip(20)},
		"outline: header":        {outline, flip(100)},
		"outline: last byte":     {outline, flip(-1)},
		"outline: cut":           {outline, cut(-1)},
		"outline: short":         {outline, cut(5)},
		"outline: empty":         {outline, cut(0)},
		"machine code: magic":    {machine, flip(1)},
		"machine code: version":  {machine, flip(7)},
		"machine code: a count":  {machine, flip(11)},
		"machine code: a place":  {machine, flip(40)},
		"machine code: code":     {machine, flip(-30)},
		"machine code: cut":      {machine, cut(-30)},
		"machine code: empty":    {machine, cut(0)},
		"machine code: is gone":  {machine, nil},
		"outline: is gone":       {outline, nil},
		"outline: of other code": {outline, func([]byte) []byte { return []byte(outlineMagic + strings.Repeat("x", 100)) }},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(d.file)
			if err != nil {
				t.Fatal(err)
			}
			if d.do == nil {
				err = os.Remove(d.file)
			} else {
				err = os.WriteFile(d.file, d.do(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			rt := newCompiler(t, dir)
			if _, err := rt.module(t.Context(), code, nil, false); !errors.Is(err, errNotCached) {
				t.Fatalf("before: %v, want errNotCached", err)
			}
			m, err := rt.module(t.Context(), code, change, true)
			if err != nil {
				t.Fatal(err)
			}
			checkAnswer(t, rt, m)
			rt = newCompiler(t, dir)
			if m, err = rt.module(t.Context(), code, nil, false); err != nil {
				t.Fatalf("after: %v", err)
			}
			checkAnswer(t, rt, m)
		})
	}
}

// TestForeignMachineCode keeps what another version of wazero left beside ours, but not when it
// is damaged.
func TestForeignMachineCode(t *testing.T) {
	dir := t.TempDir()
	code, change := answering(t)
	rt := newCompiler(t, dir)
	if _, err := rt.module(t.Context(), code, change, true); err != nil {
		t.Fatal(err)
	}
	outlines, err := filepath.Glob(filepath.Join(dir, "outline-*"))
	if err != nil || len(outlines) != 1 {
		t.Fatal(outlines, err)
	}
	o, err := readOutline(outlines[0])
	if err != nil || len(o.files) != 1 {
		t.Fatalf("%v, %v", o.files, err)
	}
	for ours, sum := range o.files {
		b, err := os.ReadFile(filepath.Join(dir, ours))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "theirs"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		// As if another one had been first: ours is not there.
		o.files = map[string]string{"theirs": sum}
		if err := errors.Join(writeOutline(outlines[0], o), os.Remove(filepath.Join(dir, ours))); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{2, 1} {
		rt := newCompiler(t, dir)
		m, err := rt.module(t.Context(), code, change, true)
		if err != nil {
			t.Fatal(err)
		}
		checkAnswer(t, rt, m)
		if o, err = readOutline(outlines[0]); err != nil || len(o.files) != want {
			t.Errorf("%v, %v; want %d", o.files, err, want)
		}
		if err := os.WriteFile(filepath.Join(dir, "theirs"), []byte("WAZEVO"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestModuleInMemory checks that without a cache nothing is kept on disk.
func TestModuleInMemory(t *testing.T) {
	code, change := answering(t)
	rt := &Runtime{cache: wazero.NewCompilationCache()}
	rt.wz = wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCompilationCache(rt.cache))
	defer rt.Close()
	if _, err := rt.module(t.Context(), code, change, false); !errors.Is(err, errNotCached) {
		t.Errorf("%v, want errNotCached", err)
	}
	m, err := rt.module(t.Context(), code, change, true)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, rt, m)
}

// TestWazeroVersion stops a change of wazero's version until somebody has seen that what we
// take for granted is still so.
func TestWazeroVersion(t *testing.T) {
	const known = "v1.12.0"
	b, err := os.ReadFile(filepath.FromSlash("../../../go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)github\.com/tetratelabs/wazero (v\S+)`).FindSubmatch(b)
	if found == nil || bytes.Contains(b, []byte("github.com/tetratelabs/wazero =>")) {
		t.Fatal("go.mod does not say which wazero is used")
	}
	if have := string(found[1]); have != known {
		t.Errorf("wazero is %s, and this package is known to work with %s. It relies on what wazero does not promise: "+
			"that the compile cache is a file for each module under a directory for each version; that a file put in another's place is taken "+
			"for its machine code; that CompileModule with an ended context, and two workers, returns what is in the cache and compiles nothing; "+
			"and where in a file the code of each function is (partsOf). "+
			"When TestModuleCache, TestDamagedCache, TestForeignMachineCode and the tests of engines/wasm pass, "+
			"and \"just bench embed\" shows no slower start, change the version in this test", have, known)
	}
}
