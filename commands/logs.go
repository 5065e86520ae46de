package commands

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// logsCmd shows a server log.
type logsCmd struct {
	target
	Follow bool `short:"f" help:"Go on as the log grows, until interrupted."`
	Lines  int  `short:"n" default:"50" help:"How many lines to begin with; 0 for all."`
}

// Run prints the log of the newest start, or what the supervisor has to say if there is
// none.
func (c *logsCmd) Run(ctx context.Context, env *Env) error {
	dir, name, err := c.resolve(env)
	if err != nil {
		return err
	}
	if c.Lines < 0 {
		return usageError("--lines must not be negative")
	}
	st, err := cluster.Inspect(ctx, dir)
	if err != nil {
		return err
	}
	path := filepath.Join(st.Control, "postmaster.log")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if st.State == cluster.Missing {
			return notThere(fmt.Errorf("%w", engines.ErrNotExist), c.target, name)
		}
		return fmt.Errorf("cluster %s has no log yet (%s): %w", name, path, engines.ErrNotExist)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := seekLastLines(f, c.Lines); err != nil {
		return err
	}
	if _, err := io.Copy(env.Stdout, f); err != nil || !c.Follow {
		return err
	}
	return follow(ctx, env.Stdout, path, f)
}

// seekLastLines moves to the beginning of the last n lines.
func seekLastLines(f *os.File, n int) error {
	if n == 0 {
		return nil
	}
	const block = 64 << 10
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	buf := make([]byte, block)
	found, last := 0, true // the final newline ends the last line, and begins none
	for pos := end; pos > 0; {
		size := min(pos, block)
		pos -= size
		if _, err := f.ReadAt(buf[:size], pos); err != nil {
			return err
		}
		for i := int(size) - 1; i >= 0; i-- {
			if buf[i] != '\n' {
				last = false
				continue
			}
			if last && pos+int64(i) == end-1 {
				last = false
				continue
			}
			if found++; found == n {
				_, err := f.Seek(pos+int64(i)+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// follow copies what is appended to the log, also after it was replaced by a new one,
// until ctx ends.
func follow(ctx context.Context, w io.Writer, path string, f *os.File) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	r := bufio.NewReader(f)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var out bytes.Buffer
		if _, err := out.ReadFrom(r); err != nil {
			return err
		}
		if _, err := w.Write(out.Bytes()); err != nil {
			return err
		}
		here, err := f.Stat()
		if err != nil {
			return err
		}
		there, err := os.Stat(path)
		if err != nil || os.SameFile(here, there) {
			continue // the same, or between two
		}
		next, err := os.Open(path)
		if err != nil {
			continue
		}
		defer func() { _ = next.Close() }()
		f, r = next, bufio.NewReader(next)
	}
}
