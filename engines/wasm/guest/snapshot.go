package guest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/wasm/emscripten"
	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// state is what a snapshot holds besides memory.
type state struct {
	Size         uint32                  `json:"size"`
	StackPointer uint64                  `json:"stack_pointer"`
	Cwd          string                  `json:"cwd"`
	NoSync       bool                    `json:"no_sync"`
	Uptime       time.Duration           `json:"uptime"` // what the monotonic clock said
	Files        []emscripten.Descriptor `json:"files"`
	Libraries    []placed                `json:"libraries,omitempty"`
}

// placed says where a side module was linked.
type placed struct {
	Handle uint32 `json:"handle"`
	Name   string `json:"name"`
	Memory uint32 `json:"memory"`
	Table  uint32 `json:"table"`
}

// An Image is the state of a backend at some moment, in memory and on file. Together with
// the data directory of that moment it can be brought back, any number of times, by several
// goroutines at once.
type Image struct {
	st   state
	file *imageFile
}

// An imageFile is a file with the memory of a backend, in which only pages that are not
// zero take room. It is never written to again. Images and the instances that were restored
// from it share it.
type imageFile struct {
	f *os.File

	mu   sync.Mutex
	refs int
}

func (m *imageFile) share() *imageFile {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refs++
	return m
}

func (m *imageFile) release() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refs--; m.refs > 0 {
		return nil
	}
	return m.f.Close()
}

// Close gives the image up. Instances that were restored from it go on.
func (i *Image) Close() error { return i.file.release() }

// Image takes the state of an idle backend. Its memory goes to a file in the existing
// directory dir that has no name.
func (in *Instance) Image(dir string) (*Image, error) {
	f, err := os.CreateTemp(dir, "image")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		err = in.writeMemory(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the memory of the backend: %w", err), f.Close())
	}
	return &Image{in.state(), &imageFile{f: f, refs: 1}}, nil
}

func (in *Instance) state() state {
	st := state{
		Size: in.Memory().Size(), StackPointer: in.sp.Get(), Cwd: in.Proc.Cwd, NoSync: in.Proc.NoSync,
		Uptime: in.Proc.Uptime(), Files: in.Proc.Descriptors(),
	}
	for _, l := range in.libs {
		st.Libraries = append(st.Libraries, l.at)
	}
	return st
}

// Save writes the state of an idle backend into the existing directory dir: memory.img and
// state.json, for Load.
func (in *Instance) Save(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "memory.img"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(in.writeMemory(f), f.Close()); err != nil {
		return fmt.Errorf("write the memory of the backend: %w", err)
	}
	b, err := json.Marshal(in.state())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "state.json"), b, 0o600)
}

// LoadImage returns the image that Save wrote into dir.
func LoadImage(dir string) (*Image, error) {
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, "memory.img"))
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != int64(st.Size) {
		return nil, fmt.Errorf("the snapshot is damaged: %w", errors.Join(err, errors.New("its size is wrong"), f.Close()))
	}
	return &Image{st, &imageFile{f: f, refs: 1}}, nil
}

// Restore makes a backend from an image. f shows a data directory as it was then. Pages of
// memory are shared with the image's file until they are changed.
func (rt *Runtime) Restore(ctx context.Context, f *guestfs.FS, img *Image) (*Instance, error) {
	in, err := rt.newInstance(ctx, f, environment(), rt.postgres())
	if err != nil {
		return nil, err
	}
	if err := in.restore(img); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

func (in *Instance) restore(img *Image) error {
	st := img.st
	if now := in.Memory().Size(); now < st.Size {
		if _, ok := in.Memory().Grow((st.Size - now) / 65536); !ok {
			return errors.New("the guest's memory cannot grow")
		}
	}
	in.Proc.Cwd, in.Proc.NoSync = st.Cwd, st.NoSync
	in.Proc.SetUptime(st.Uptime)
	// Linking writes the libraries' data as they are at first: what became of them is in the
	// image, which comes last.
	for _, l := range st.Libraries {
		if err := in.relink(l); err != nil {
			return fmt.Errorf("link %s again: %w", l.Name, err)
		}
	}
	in.image = img.file.share()
	if err := in.mem.load(in.image.f, st.Size); err != nil {
		return err
	}
	in.sp.Set(st.StackPointer)
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
