package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// errNoCache means that there is no place for prepared data directories.
var errNoCache = errors.New("no cache")

// template returns the cached data directory that initdb makes with this runtime and
// user, making it first if need be, and its size. The copies have its system identifier.
// A shared lock is held on it until the returned function is called.
func (e *Engine) template(ctx context.Context, rt Runtime, user string) (dir string, size int64, release func(), err error) {
	cache, err := place.Cache()
	if err != nil {
		return "", 0, nil, fmt.Errorf("%w: %w", errNoCache, err)
	}
	root := filepath.Join(cache, "initdb")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", 0, nil, fmt.Errorf("%w: make the cache directory (set PGX_DEV_CACHE to choose another): %w", errNoCache, err)
	}
	key, err := e.templateKey(rt, user)
	if err != nil {
		return "", 0, nil, err
	}
	entry := filepath.Join(root, key)
	for {
		lock, err := dirlock.Shared(ctx, entry+".lock")
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			return "", 0, nil, fmt.Errorf("%w: %w", errNoCache, err)
		}
		if err != nil {
			return "", 0, nil, err
		}
		if size, ok := validTemplate(entry); ok {
			return filepath.Join(entry, "data"), size, func() { _ = lock.Unlock() }, nil
		}
		if err := lock.Unlock(); err != nil {
			return "", 0, nil, err
		}
		if err := e.buildTemplate(ctx, rt, user, entry); err != nil {
			return "", 0, nil, err
		}
	}
}

// buildTemplate makes a cache entry unless somebody else just did.
func (e *Engine) buildTemplate(ctx context.Context, rt Runtime, user, entry string) (err error) {
	lock, err := dirlock.Exclusive(ctx, entry+".lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if _, ok := validTemplate(entry); ok {
		return nil
	}
	// Whatever else is there under our lock is what a killed process left, or damaged.
	if err := sweep(entry); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.tmp-%d", entry, os.Getpid())
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	data := filepath.Join(tmp, "data")
	err = e.withAccount(filepath.Dir(entry), func(a account) error {
		if !a.own {
			return e.initdb(ctx, a, rt, user, data)
		}
		return e.initdbElsewhere(ctx, a, rt, user, data)
	})
	if err != nil {
		return err
	}
	size, err := dirSize(data)
	if err != nil {
		return err
	}
	// The size is written last: an entry without it is not complete.
	if err := os.WriteFile(filepath.Join(tmp, "size"), []byte(strconv.FormatInt(size, 10)), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, entry)
}

// initdbElsewhere runs initdb as another user, who may not enter our cache, in the
// directory for temporary files, and brings the result home.
func (e *Engine) initdbElsewhere(ctx context.Context, a account, rt Runtime, user, data string) error {
	const prefix = "pgx-dev-initdb-"
	sweepDead(os.TempDir(), prefix)
	work, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.Lchown(work, a.uid, a.gid); err != nil {
		return fmt.Errorf("%w: %w", errDenied, err)
	}
	made := filepath.Join(work, "data")
	if err := e.initdb(ctx, a, rt, user, made); err != nil {
		return err
	}
	return CopyDir(ctx, made, data)
}

// validTemplate reports whether a cache entry is whole.
func validTemplate(entry string) (size int64, ok bool) {
	text, err := os.ReadFile(filepath.Join(entry, "size"))
	if err != nil {
		return 0, false
	}
	size, err = strconv.ParseInt(string(text), 10, 64)
	if err != nil || checkCluster(filepath.Join(entry, "data")) != nil {
		return 0, false
	}
	return size, true
}

// sweep removes path and everything a killed process left beside it while making it. The
// caller holds the lock that makers of path hold.
func sweep(path string) error {
	sweepTemp(path)
	return os.RemoveAll(path)
}

// sweepTemp removes the siblings of path that killed processes left while making it. The
// caller holds the lock that makers of path hold. What cannot be removed, for instance
// because a killed initdb has not quite ended and writes there, is left to the next time.
func sweepTemp(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	prefix := filepath.Base(path) + ".tmp-"
	for _, entry := range entries {
		pid, ok := strings.CutPrefix(entry.Name(), prefix)
		if _, err := strconv.Atoi(pid); !ok || err != nil {
			continue
		}
		_ = os.RemoveAll(filepath.Join(filepath.Dir(path), entry.Name()))
	}
}

// templateKey names the cache entry by everything initdb's result depends on: the program,
// its arguments, and the locales that it lists in pg_collation.
func (e *Engine) templateKey(rt Runtime, user string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"initdb", "postgres"} {
		real, err := filepath.EvalSymlinks(rt.Program(name))
		if err != nil {
			return "", err
		}
		fi, err := os.Stat(real)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %d %d\n", real, fi.Size(), fi.ModTime().UnixNano())
	}
	fmt.Fprintf(h, "%s %q %s\n", rt.Version, e.initdbArgs(rt, user), hbaConf(rt.Version))
	// glibc's archive and its plain directories (locale(1), setlocale(3)).
	if fi, err := os.Stat("/usr/lib/locale/locale-archive"); err == nil {
		fmt.Fprintf(h, "archive %d %d\n", fi.Size(), fi.ModTime().UnixNano())
	}
	for _, dir := range []string{"/usr/lib/locale", "/usr/share/locale"} {
		if fi, err := os.Stat(dir); err == nil {
			fmt.Fprintf(h, "%s %d\n", dir, fi.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}
