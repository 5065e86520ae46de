package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/place"
)

// errNotReached reports that the target is not behind the base backup that recovery began
// with.
var errNotReached = errors.New("recovery ended before it came to its target")

// notReached marks err with errNotReached if that is what the server's log says (xlog.c and
// xlogrecovery.c): the target was not met until the end of the log, or lies before the end
// of the base backup. Where the log is gone already, err has its end.
func notReached(err error, log string) error {
	for _, text := range []string{
		"recovery ended before configured recovery target was reached",
		"requested recovery stop point is before consistent recovery point",
	} {
		if strings.Contains(log, text) || strings.Contains(err.Error(), text) {
			return fmt.Errorf("%w: %w", errNotReached, err)
		}
	}
	return err
}

// followLog returns a function that returns what the server of a data directory, which is
// yet to be started, has logged since.
func followLog(dir string) (said func() string, err error) {
	path := filepath.Join(place.Control(dir), "postmaster.log")
	var begin int64
	switch fi, err := os.Stat(path); {
	case err == nil:
		begin = fi.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return func() string {
		f, err := os.Open(path)
		if err != nil {
			return ""
		}
		defer func() { _ = f.Close() }()
		if fi, err := f.Stat(); err != nil || fi.Size() < begin {
			begin = 0 // the log was rotated
		}
		b, err := io.ReadAll(io.NewSectionReader(f, begin, 16<<20))
		if err != nil {
			return ""
		}
		return string(b)
	}, nil
}
