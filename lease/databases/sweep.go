package databases

import (
	"cmp"
	"context"
	"errors"
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

// Tag is what tells this source's databases from those of others, for SweepDead.
func (s *Source) Tag() string { return s.tag }

// SweepDead waits until the process whose source had a tag is dead, as far as the server can
// tell, and drops the databases that it left, but for those that are kept. It is for a
// process that outlives it: any other source on the same server does so too, when it is
// first used.
func SweepDead(ctx context.Context, cfg Config, open Opener, tag string) error {
	s := New(cfg, open)
	l, err := openLife(ctx, open, s.tag, s.log, func() {})
	if err != nil {
		return err
	}
	err = l.admin(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1, $2)", lockClass, lockID("owner", tag))
		if err == nil {
			_, err = conn.Exec(ctx, "SELECT pg_advisory_unlock($1, $2)", lockClass, lockID("owner", tag))
		}
		if err == nil {
			err = awaitGone(ctx, conn, tag)
		}
		if err == nil {
			err = s.sweepDead(ctx, l, conn)
		}
		return err
	})
	return errors.Join(err, l.close(context.WithoutCancel(ctx)))
}

func (s *Source) sweepDead(ctx context.Context, l *life, conn *pgx.Conn) error {
	names, err := databaseNames(ctx, conn, s.cfg.Pool.Prefix+"lx")
	if err != nil {
		return err
	}
	dead := map[string]bool{} // by tag
	for name := range names {
		tag, ok := s.ours(name)
		if _, asked := dead[tag]; !ok || asked || tag == s.tag { // Close tries ours again that could not be dropped
			continue
		}
		var free bool
		err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", lockClass, lockID("owner", tag)).Scan(&free)
		if err != nil {
			return err
		}
		dead[tag] = free // the lock is given back with the connection
		if free {
			if err := awaitGone(ctx, conn, tag); err != nil {
				return err
			}
		}
	}
	if names, err = databaseNames(ctx, conn, s.cfg.Pool.Prefix+"lx"); err != nil {
		return err
	}
	for name, comment := range names {
		tag, ok := s.ours(name)
		since, kept := after(comment, keptPrefix)
		if !ok || !dead[tag] || kept && time.Since(since) < keepKept {
			continue
		}
		s.log.Info("drop what a dead lease server left", "name", name)
		if err := l.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// awaitGone waits until a dead process has no sessions: one that was in CREATE DATABASE
// finishes that first, and only then notices.
func awaitGone(ctx context.Context, conn *pgx.Conn, tag string) error {
	for wait := evictFirst; ; wait = min(wait*2, evictMost) {
		var n int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()", applicationName(tag)).Scan(&n)
		if err != nil || n == 0 {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// applicationName tells a process's own sessions.
func applicationName(tag string) string { return "pgx-dev lease " + tag }

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
