package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// rewriting counts changes of what is made of modules before they are compiled. What other
// programs left in the cache is not taken for ours: TestRewriting sees to it that the number
// is raised.
const rewriting = 1

// An outline is what the compile cache keeps of a module beside its machine code: all but its
// code, which is most of it, and would be read, rewritten and validated by each process for
// nothing. wazero finds machine code by the hash of the module that it is given, so the code
// of the whole module is put where that of the outline would be. Should it ever not be there,
// the outline is no danger: its functions trap.
type outline struct {
	code    []byte  // the module without its code
	symbols Symbols // of pglite.wasm

	// The files with its machine code, below the cache's directory, each with the hash of what
	// it says of its parts, which wazero does not check. Versions of wazero and kinds of
	// processors have files of their own.
	files map[string]string
}

// outlineHeader is the JSON in an outline's file; the module follows.
type outlineHeader struct {
	Symbols Symbols           `json:"symbols"`
	Files   map[string]string `json:"files"`
}

const outlineMagic = "pgx-dev outline 1\n"

var errDamaged = errors.New("damaged")

// readOutline reads the file that writeOutline wrote, and finds damage.
func readOutline(name string) (outline, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return outline{}, err
	}
	rest, ok := bytes.CutPrefix(b, []byte(outlineMagic))
	if !ok || len(rest) < sha256.Size {
		return outline{}, errDamaged
	}
	sum, rest := [sha256.Size]byte(rest), rest[sha256.Size:]
	if sha256.Sum256(rest) != sum {
		return outline{}, errDamaged
	}
	header, code, ok := bytes.Cut(rest, []byte("\n"))
	var h outlineHeader
	if !ok || json.Unmarshal(header, &h) != nil {
		return outline{}, errDamaged
	}
	return outline{code, h.Symbols, h.Files}, nil
}

// writeOutline leaves the outline under a name at once, or not at all.
func writeOutline(name string, o outline) error {
	header, err := json.Marshal(outlineHeader{o.symbols, o.files})
	if err != nil {
		return err
	}
	rest := append(append(header, '\n'), o.code...)
	sum := sha256.Sum256(rest)
	f, err := os.CreateTemp(filepath.Dir(name), ".outline-")
	if err != nil {
		return err
	}
	for _, b := range [][]byte{[]byte(outlineMagic), sum[:], rest} {
		if err == nil {
			_, err = f.Write(b)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// damaged returns which of the files with machine code are not as they were written. m is the
// module, perhaps without code; missing files are not damaged.
func (o outline) damaged(dir string, m *wasmbin.Module) (list []string) {
	for name, want := range o.files {
		got, err := partsOf(filepath.Join(dir, filepath.FromSlash(name)), m)
		if got != want && !errors.Is(err, fs.ErrNotExist) {
			list = append(list, name)
		}
	}
	return list
}

// partsOf hashes what a file of wazero's says of where its functions are, which comes before
// the machine code: "WAZEVO", the length of a version and the version, the number of functions
// and 8 bytes for each, and the length of the code. The code itself has a checksum that wazero
// looks at.
func partsOf(name string, m *wasmbin.Module) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 7)
	if _, err := io.ReadFull(f, head); err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(head)
	if _, err := io.CopyN(h, f, int64(head[6])+4+8*int64(len(m.Funcs))+8); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
