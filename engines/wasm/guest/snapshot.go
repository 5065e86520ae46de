package guest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines/wasm/emscripten"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// ErrSnapshot reports a state that cannot be saved: libraries are loaded, whose place in
// the function table a new instance would not have.
var ErrSnapshot = errors.New("a backend with loaded libraries cannot be saved")

// state is what a snapshot holds besides memory.
type state struct {
	Size         uint32                  `json:"size"`
	StackPointer uint64                  `json:"stack_pointer"`
	Cwd          string                  `json:"cwd"`
	NoSync       bool                    `json:"no_sync"`
	Files        []emscripten.Descriptor `json:"files"`
}

// Save writes the state of an idle backend into the existing directory dir: memory.img,
// in which only pages that are not zero take room, and state.json. Together with the data
// directory as it is now it can be brought back by Restore, any number of times.
func (in *Instance) Save(dir string) error {
	if len(in.libs) > 0 {
		return ErrSnapshot
	}
	size := in.Memory().Size()
	mem, _ := in.Memory().Read(0, size)
	f, err := os.OpenFile(filepath.Join(dir, "memory.img"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = writeSparse(f, mem)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the memory of the backend: %w", err)
	}
	b, err := json.Marshal(state{size, in.sp.Get(), in.Proc.Cwd, in.Proc.NoSync, in.Proc.Descriptors()})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "state.json"), b, 0o600)
}

func writeSparse(f *os.File, mem []byte) error {
	const page = 4096
	if err := f.Truncate(int64(len(mem))); err != nil {
		return err
	}
	// Runs of pages that are not zero are written at once.
	for from := 0; from < len(mem); {
		if zero(mem[from : from+page]) {
			from += page
			continue
		}
		to := from + page
		for to < len(mem) && to-from < 1<<20 && !zero(mem[to:to+page]) {
			to += page
		}
		if _, err := f.WriteAt(mem[from:to], int64(from)); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func zero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
	}
	return true
}

// Restore makes a backend from what Save wrote into dir. f shows a data directory as it
// was then. Pages of memory are shared with the file until they are changed.
func (rt *Runtime) Restore(ctx context.Context, f *guestfs.FS, dir string) (*Instance, error) {
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	img, err := os.Open(filepath.Join(dir, "memory.img"))
	if err != nil {
		return nil, err
	}
	defer img.Close()
	if fi, err := img.Stat(); err != nil || fi.Size() != int64(st.Size) {
		return nil, fmt.Errorf("the snapshot is damaged: %w", errors.Join(err, errors.New("its size is wrong")))
	}
	in, err := rt.newInstance(ctx, f, environment(), rt.postgres())
	if err != nil {
		return nil, err
	}
	if err := in.restore(st, img); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

func (in *Instance) restore(st state, img *os.File) error {
	if now := in.Memory().Size(); now < st.Size {
		if _, ok := in.Memory().Grow((st.Size - now) / 65536); !ok {
			return errors.New("the guest's memory cannot grow")
		}
	}
	if err := in.mem.load(img, st.Size); err != nil {
		return err
	}
	in.sp.Set(st.StackPointer)
	in.Proc.Cwd, in.Proc.NoSync = st.Cwd, st.NoSync
	in.setupBackend()
	if err := in.reseed(); err != nil {
		return err
	}
	in.Proc.RaiseAlarm()
	return in.Proc.Restore(st.Files)
}

// reseed gives the backend's pseudo-random generator a state of its own; what it gets
// from the system is fresh anyway.
func (in *Instance) reseed() error {
	at := in.Addr("pg_global_prng_state")
	if at == 0 {
		return errors.New("pglite.wasm does not export pg_global_prng_state")
	}
	seed, ok := in.Memory().Read(at, 16)
	if !ok {
		return errors.New("pg_global_prng_state is outside of the guest's memory")
	}
	_, err := rand.Read(seed)
	return err
}
