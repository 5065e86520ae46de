package native

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// versionCache remembers what `postgres --version` said, by what would change if the
// program did.
type versionCache struct {
	mu   sync.Mutex
	seen map[versionKey]versionAnswer
}

type versionKey struct {
	path  string
	size  int64
	mtime time.Time
}

type versionAnswer struct {
	version Version
	err     error
}

// of returns the version of the postgres program at path.
func (c *versionCache) of(ctx context.Context, path string) (Version, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Version{}, err
	}
	key := versionKey{path, fi.Size(), fi.ModTime()}
	c.mu.Lock()
	answer, ok := c.seen[key]
	c.mu.Unlock()
	if ok {
		return answer.version, answer.err
	}
	answer.version, answer.err = key.recall()
	if answer.err != nil {
		answer.version, answer.err = askVersion(ctx, path)
		if ctx.Err() != nil {
			return Version{}, context.Cause(ctx)
		}
		if answer.err == nil {
			key.remember(answer.version)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[versionKey]versionAnswer{}
	}
	c.seen[key] = answer
	return answer.version, answer.err
}

// askVersion runs `postgres --version`, which works as root too (main.c looks at it before
// check_root).
func askVersion(ctx context.Context, path string) (Version, error) {
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = cleanEnv()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return Version{}, fmt.Errorf("%s --version: %w: %s", path, err, strings.TrimSpace(stderr.String()))
	}
	v, err := parseVersionOutput(string(out))
	if err != nil {
		return Version{}, fmt.Errorf("%s --version: %w", path, err)
	}
	return v, nil
}

// probeAll returns the runtimes of a place, those that run, asked side by side.
func (e *Engine) probeAll(ctx context.Context, p searchPlace) []Runtime {
	versions := make([]Version, len(p.dirs))
	var wg sync.WaitGroup
	for i, dir := range p.dirs {
		wg.Go(func() {
			rt := Runtime{Bindir: dir}
			v, err := e.versions.of(ctx, rt.Program("postgres"))
			if err != nil {
				e.log.Debug("skip runtime", "bindir", dir, "error", err)
				return
			}
			versions[i] = v
		})
	}
	wg.Wait()
	var rts []Runtime
	for i, dir := range p.dirs {
		if !versions[i].IsZero() {
			rts = append(rts, Runtime{Bindir: dir, Version: versions[i], Origin: p.origin})
		}
	}
	return rts
}
