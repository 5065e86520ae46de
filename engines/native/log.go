package native

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxLog is how big a log may be at the start of a server; a bigger one becomes
// postmaster.log.1, in place of the one before.
const maxLog = 1 << 20

// openLog opens the server's log for appending and says where this run begins in it.
func openLog(path string) (f *os.File, begin int64, err error) {
	if fi, err := os.Stat(path); err == nil && fi.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, fmt.Errorf("rotate log: %w", err)
		}
	}
	f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, fi.Size(), nil
}

// readLog returns the end of what was written to the log since begin, at most 64 kB.
func readLog(path string, begin int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return ""
	}
	begin = max(begin, fi.Size()-64<<10)
	b, err := io.ReadAll(io.NewSectionReader(f, begin, 64<<10))
	if err != nil && !errors.Is(err, fs.ErrClosed) {
		return ""
	}
	return string(b)
}

// logTail returns the lines of a log that help: the last 20.
func logTail(log string) string { return lastLines(strings.TrimSpace(log), 20) }
