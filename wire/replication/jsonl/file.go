package jsonl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A File is a file of lines that survives a crash: what has been synced is whole
// transactions up to a position that the file itself tells. It is not safe for concurrent
// use.
type File struct {
	f *os.File
	// Position is behind the last transaction in the file, 0 in a new file. A subscription
	// that starts there continues it without a gap and without a change that comes twice.
	Position wire.LSN
	// Cut is how many bytes of an unfinished transaction OpenFile took away.
	Cut int64
}

// OpenFile opens or makes a file with mode 0600. What stands behind its last finished
// transaction was left by a crash and is taken away. A file that ends in something else
// than such lines is an error, and stays as it is.
func OpenFile(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	file := &File{f: f}
	if err := file.recover(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return file, nil
}

// recover finds the last line that ends a transaction, from the end of the file.
func (f *File) recover() error {
	end, err := f.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	const block = 64 << 10
	var tail []byte // from pos on, up to a line that has been looked at
	good := int64(0)
	for pos := end; pos > 0 && good == 0; {
		n := min(pos, block)
		pos -= n
		chunk := make([]byte, n, n+int64(len(tail)))
		if _, err := f.f.ReadAt(chunk, pos); err != nil {
			return err
		}
		tail = append(chunk, tail...)
		// Whole lines in tail, last first; what is before the first newline needs more.
		for {
			stop := bytes.LastIndexByte(tail, '\n')
			if stop < 0 {
				break
			}
			begin := bytes.LastIndexByte(tail[:stop], '\n') + 1
			if begin == 0 && pos > 0 {
				break
			}
			lsn, err := checkpoint(tail[begin:stop])
			if err != nil {
				return fmt.Errorf("%w; it is left as it is, choose another file", err)
			}
			if lsn != 0 {
				f.Position, good = lsn, pos+int64(stop)+1
				break
			}
			tail = tail[:begin]
		}
	}
	if good == 0 && end > 0 && !bytes.HasPrefix(tail, []byte(`{"kind":"`)) && !bytes.HasPrefix([]byte(`{"kind":"`), tail) {
		return fmt.Errorf("its first line is no change; it is left as it is, choose another file")
	}
	if f.Cut = end - good; f.Cut > 0 {
		if err := f.f.Truncate(good); err != nil {
			return err
		}
	}
	_, err = f.f.Seek(good, io.SeekStart)
	return err
}

// checkpoint returns the position that a line says is safe, or 0.
func checkpoint(line []byte) (wire.LSN, error) {
	var l struct {
		Kind string `json:"kind"`
		End  string `json:"end"`
	}
	if err := json.Unmarshal(line, &l); err != nil || l.Kind == "" {
		return 0, fmt.Errorf("a line is no change: %.60q", line)
	}
	if l.End == "" {
		return 0, nil
	}
	return wire.ParseLSN(l.End)
}

// Write appends lines.
func (f *File) Write(b []byte) (int, error) { return f.f.Write(b) }

// Sync returns when all that was written is on disk.
func (f *File) Sync() error { return f.f.Sync() }

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }
