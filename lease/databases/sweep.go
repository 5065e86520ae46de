package databases

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// What is not used is dropped after these times.
const (
	keepKept      = 24 * time.Hour     // databases that were kept for somebody to look at
	keepTemplates = 7 * 24 * time.Hour // since their last use
	moreTemplates = 3                  // of one pool, however young
)

// Comments on databases say what a sweep has to know.
const (
	keptPrefix     = "pgx-dev: kept since "
	templateMarker = "pgx-dev: template of "
)

func keptMark() string { return keptPrefix + strconv.FormatInt(time.Now().Unix(), 10) + " " }

// family tells this pool's templates, in this project, from those of others.
func (s *Source) family() string {
	dir, err := filepath.Abs(s.cfg.Dir)
	if err != nil {
		dir = s.cfg.Dir
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(dir + "\x00" + s.cfg.Pool.Name))
	return fmt.Sprintf("%016x", h.Sum64())
}

func (s *Source) templateMark(used time.Time) string {
	return templateMarker + s.family() + " " + strconv.FormatInt(used.Unix(), 10)
}

// after reads the number behind a prefix.
func after(comment, prefix string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(comment, prefix)
	if !ok {
		return time.Time{}, false
	}
	word, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(word, 10, 64)
	return time.Unix(n, 0), err == nil
}

// sweep drops the databases of processes that have died, and old templates. Errors are
// logged: there will be another sweep.
func (s *Source) sweep(l *life) {
	ctx := l.ctx
	conn, err := l.connect(ctx, "")
	if err != nil {
		return // whoever needs the server will say so
	}
	defer closeConn(conn)
	err = s.sweepDead(ctx, l, conn)
	if err == nil {
		err = s.sweepTemplates(ctx, l, conn)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("sweep", "err", err)
	}
}

func (s *Source) sweepDead(ctx context.Context, l *life, conn *pgx.Conn) error {
	names, err := databaseNames(ctx, conn, s.cfg.Pool.Prefix+"lx")
	if err != nil {
		return err
	}
	dead := map[string]bool{} // by tag
	for name, comment := range names {
		tag, ok := s.ours(name)
		if !ok {
			continue
		}
		since, kept := after(comment, keptPrefix)
		if kept && time.Since(since) < keepKept {
			continue
		}
		if tag == s.tag {
			continue // Close tries those again that could not be dropped
		}
		if _, asked := dead[tag]; !asked {
			var free bool
			err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", lockClass, lockID("owner", tag)).Scan(&free)
			if err != nil {
				return err
			}
			dead[tag] = free // the lock is given back with the connection
		}
		if !dead[tag] {
			continue
		}
		s.log.Info("drop what a dead lease server left", "name", name)
		if err := l.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) sweepTemplates(ctx context.Context, l *life, conn *pgx.Conn) error {
	names, err := databaseNames(ctx, conn, "pgxdev_")
	if err != nil {
		return err
	}
	type old struct {
		name, key string
		used      time.Time
		family    bool
	}
	var all []old
	for name, comment := range names {
		if key, ok := strings.CutPrefix(name, buildPrefix); ok {
			if err := s.dropIfFree(ctx, l, conn, name, lockID("build", key)); err != nil {
				return err
			}
			continue
		}
		key, ok := strings.CutPrefix(name, templatePrefix)
		if !ok {
			continue
		}
		rest, _ := strings.CutPrefix(comment, templateMarker)
		family, _, _ := strings.Cut(rest, " ")
		used, ok := after(comment, templateMarker+family+" ")
		if ok {
			all = append(all, old{name, key, used, family == s.family()})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.name, b.name)) })
	mine := 0
	for _, t := range all {
		if t.family {
			mine++
		}
		if time.Since(t.used) < keepTemplates && (!t.family || mine <= 1+moreTemplates) {
			continue
		}
		if err := s.dropIfFree(ctx, l, conn, t.name, lockID("template", t.key)); err != nil {
			return err
		}
	}
	return nil
}

// dropIfFree drops a template unless somebody holds its lock.
func (s *Source) dropIfFree(ctx context.Context, l *life, conn *pgx.Conn, name string, lock int32) error {
	var free bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", lockClass, lock).Scan(&free); err != nil || !free {
		return err
	}
	s.log.Info("drop an old template", "name", name)
	err := l.remove(ctx, name)
	_, unlockErr := conn.Exec(ctx, "SELECT pg_advisory_unlock($1, $2)", lockClass, lock)
	if err != nil {
		return err
	}
	return unlockErr
}
