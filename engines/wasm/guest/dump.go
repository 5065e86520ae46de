package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// A Dump is one run of pg_dump.
type Dump struct {
	Program  string        // host file with pg_dump as WebAssembly
	Args     []string      // for pg_dump, without the connection
	User     string        // who connects
	Database string        // to what
	Server   io.ReadWriter // a fresh stream to the server
	Stdout   io.Writer
	Stderr   io.Writer
}

// A DumpError says that pg_dump failed; it has said why on stderr.
type DumpError struct{ Code int }

func (e *DumpError) Error() string { return fmt.Sprintf("pg_dump failed with exit code %d", e.Code) }

// Dump runs pg_dump to its end; it sees no file but itself. It ends early when Server's Read fails.
func (rt *Runtime) Dump(ctx context.Context, d Dump) error {
	p, err := rt.dumpProgram(ctx, d.Program)
	if err != nil {
		return err
	}
	env := []string{"HOME=/", "USER=" + d.User, "LOGNAME=" + d.User, "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC", "PATH=/", "PWD=/"}
	bin, err := guestfs.OpenDir(filepath.Dir(d.Program), true)
	if err != nil {
		return err
	}
	files := guestfs.New()
	files.Mount("/bin", bin)
	defer files.Close()
	in, err := rt.newInstance(ctx, files, env, p)
	if err != nil {
		return fmt.Errorf("start pg_dump: %w", err)
	}
	defer in.Close()
	in.Proc.Client, in.Proc.NoSync = true, true
	in.Proc.Stdout, in.Proc.Stderr = &sink{w: d.Stdout}, d.Stderr
	talk := talker{rw: d.Server}
	in.Read, in.Write = talk.read, talk.write
	if _, err := catch(func() {
		in.Call("__wasm_apply_data_relocs")
		in.registerCallbacks()
	}); err != nil {
		return fmt.Errorf("start pg_dump: %w", err)
	}
	// The last mention of an option counts: the connection is ours.
	args := append([]string{"/bin/" + filepath.Base(d.Program)}, d.Args...)
	args = append(args, "--no-password", "--host=/", "--port=5432", "--username="+d.User, "--dbname="+quoteConninfo(d.Database))
	code, err := in.runMain(args)
	switch out := in.Proc.Stdout.(*sink); {
	case out.err != nil:
		return out.err
	case err != nil:
		return fmt.Errorf("run pg_dump: %w", err)
	case code != 0:
		return &DumpError{code}
	}
	return nil
}

// CompileDump compiles pg_dump ahead of Dump, into the compile cache.
func (rt *Runtime) CompileDump(ctx context.Context, file string) error {
	_, err := rt.dumpProgram(ctx, file)
	return err
}

// quoteConninfo keeps libpq from taking a database's name for a connection string.
func quoteConninfo(name string) string {
	return "dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'"
}

// A sink keeps the first error of a writer, which C's stdio may not tell of.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.err = err
	return n, err
}

// A talker connects libpq with a stream. libpq reads again after a read that filled its
// buffer well, and takes nothing for an answer then; otherwise it asks the system whether
// there is something, is told yes, and reads again. So nothing is given to a first empty
// read, and a second one waits.
type talker struct {
	rw    io.ReadWriter
	again bool // the last read gave nothing
	ahead []byte
	err   error
}

func (t *talker) read(b []byte) int {
	if len(t.ahead) == 0 {
		if !t.again {
			t.again = true
			return 0
		}
		buf := make([]byte, 64<<10)
		n, err := t.rw.Read(buf)
		if err != nil && n == 0 {
			t.err = err
			return 0
		}
		t.ahead = buf[:n]
	}
	t.again = false
	n := copy(b, t.ahead)
	t.ahead = t.ahead[n:]
	return n
}

func (t *talker) write(b []byte) {
	if t.err == nil {
		_, t.err = t.rw.Write(b)
	}
}

// dumpProgram compiles pg_dump, once.
func (rt *Runtime) dumpProgram(ctx context.Context, file string) (program, error) {
	return rt.dumper.get(func() (program, error) {
		code, err := os.ReadFile(file)
		if err != nil {
			return program{}, err
		}
		m, err := rt.module(ctx, code, checkDump, true)
		if err != nil {
			return program{}, fmt.Errorf("compile pg_dump.wasm: %w", err)
		}
		b := rt.wz.NewHostModuleBuilder(hostDump)
		for _, im := range m.Imports {
			if im.Kind == wasmbin.KindFunc && im.Module == "env" {
				rt.export(b, im.Name, m.Types[im.Type])
			}
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return program{}, err
		}
		return program{m, hostDump, independentEnv}, nil
	})
}

// checkDump changes nothing.
func checkDump(m *wasmbin.Module) ([]byte, Symbols, error) {
	if _, ok := m.Export("__wasm_apply_data_relocs", wasmbin.KindFunc); !ok || m.MemSize == 0 {
		return nil, Symbols{}, errors.New("it is not the build that this program knows: it is not position independent")
	}
	return nil, Symbols{}, nil
}

// independentEnv gives a position independent main program its memory, table, data, stack
// and heap, in this order, as Emscripten's linker places them.
func independentEnv(w *wasmbin.Builder, mod *wasmbin.Module) {
	const (
		dataAt, tableAt = 1024, 1 // null is nobody's address
		stack           = 1 << 20
		pages           = 1024
	)
	align := func(n uint32) uint32 { return (n + 15) &^ 15 }
	heap := align(dataAt+mod.MemSize) + stack
	w.Table(tableAt + mod.TableSize)
	w.Export("__indirect_function_table", wasmbin.KindTable, 0)
	w.Memory(pages, maxPages)
	w.Export("memory", wasmbin.KindMemory, 0)
	for _, g := range []struct {
		name    string
		mutable bool
		value   uint32
	}{{"__stack_pointer", true, heap}, {"__memory_base", false, dataAt}, {"__table_base", false, tableAt}, {"__heap_base", true, heap}} {
		w.Export(g.name, wasmbin.KindGlobal, w.Global(g.mutable, int32(g.value)))
	}
}

// encodingToChar is pg_encoding_to_char, which libpq has and this build leaves to the host.
func (in *Instance) encodingToChar(s []uint64) { s[0] = in.cstring(encodingName(uint32(s[0]))) }
