package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
	"github.com/pgx-dev/pgx-dev/engines/place"
)

// tempRoom is what must be free on /dev/shm for a temporary cluster to be put there: a new
// cluster takes 40 MB, and what it will hold is not known.
const tempRoom = 1 << 30

// TempOptions say how a temporary cluster is named and made.
type TempOptions struct {
	// Name names it within Project; another OpenTemp of the same name shares it. Default:
	// a new name.
	Name string
	// Project is the state directory that it belongs to.
	Project string
	// Spare says what to prepare for the next OpenTemp of the same kind: "none",
	// "copied" (a data directory, the default) or "running" (a server).
	Spare string
}

// OpenTemp opens a temporary cluster, which is destroyed when its last user has gone: a
// spare that an earlier OpenTemp prepared, or a new one. req.Spec.Dir is chosen here.
func (m *Manager) OpenTemp(ctx context.Context, req Request, opts TempOptions) (*Server, error) {
	root, err := place.Temp(tempRoom)
	if err != nil {
		return nil, fmt.Errorf("open a temporary cluster: %w", err)
	}
	switch opts.Spare {
	case "":
		opts.Spare = "copied"
	case "none", "copied", "running":
	default:
		return nil, fmt.Errorf("open a temporary cluster: spare is %q, not none, copied or running", opts.Spare)
	}
	req.Spec.Discard = true
	f, trans, err := m.findOrMakeTemp(ctx, root, req, opts)
	if err != nil {
		return nil, fmt.Errorf("open a temporary cluster: %w", err)
	}
	defer func() { _ = trans.Unlock() }()
	req.Spec.Dir = f.dir
	srv, err := m.openLocked(ctx, f, req, job{Spec: req.Spec, Destroy: true, Spare: opts.Spare})
	if err != nil {
		if alive, _ := f.supervised(); !alive {
			err = errors.Join(err, removeCluster(f))
		}
		return nil, err
	}
	if _, err := askOnce(ctx, srv.run.Socket, request{Cmd: "claim"}); err != nil {
		return nil, errors.Join(err, srv.Close(ctx))
	}
	return srv, nil
}

// findOrMakeTemp returns the cluster of a name with its trans.lock held. A lock on the
// whole root keeps two from making the same name; it is held for an instant.
func (m *Manager) findOrMakeTemp(ctx context.Context, root string, req Request, opts TempOptions) (files, *dirlock.Lock, error) {
	if opts.Name != "" {
		names, err := dirlock.Exclusive(ctx, filepath.Join(root, "names.lock"))
		if err != nil {
			return files{}, nil, err
		}
		defer func() { _ = names.Unlock() }()
		dir, err := FindTemp(opts.Project, opts.Name)
		if err == nil {
			f := filesOf(dir)
			trans, err := m.lockTrans(ctx, f)
			if err != nil {
				return files{}, nil, err
			}
			if run, err := m.current(ctx, f); err != nil || run != nil {
				return f, trans, err
			}
			// It ended while we waited, and what is left of it is nobody's.
			if err := errors.Join(removeCluster(f), trans.Unlock()); err != nil {
				return files{}, nil, err
			}
		}
		if err != nil && !errors.Is(err, engines.ErrNotExist) {
			return files{}, nil, err
		}
	}
	f, trans, err := m.claimSpare(ctx, root, req)
	if err == nil && trans == nil {
		f = filesOf(filepath.Join(root, randomID()))
		trans, err = f.lockTrans(ctx)
	}
	if err != nil {
		return files{}, nil, err
	}
	if opts.Name == "" {
		opts.Name = "temp-" + filepath.Base(f.dir)
	}
	err = f.updateRecord(func(r *record) {
		r.Name, r.Project, r.Temp = opts.Name, opts.Project, true
	})
	if err != nil {
		return files{}, nil, errors.Join(err, removeCluster(f), trans.Unlock())
	}
	return f, trans, nil
}

func randomID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// FindTemp returns the data directory of a project's temporary cluster, or an error
// wrapping engines.ErrNotExist.
func FindTemp(project, name string) (string, error) {
	for dir, r := range tempClusters() {
		if r.Project == project && r.Name == name && filesOf(dir).live() {
			return dir, nil
		}
	}
	return "", fmt.Errorf("temporary cluster %s: %w", name, engines.ErrNotExist)
}

// busy reports whether somebody holds trans.lock: a maker or remover of the cluster, be it
// in another process namespace, where its number says nothing.
func (f files) busy() bool {
	l, err := dirlock.TryExclusive(f.trans())
	_ = l.Unlock()
	return errors.Is(err, dirlock.ErrHeld)
}

// live reports whether somebody runs a temporary cluster, or starts or stops it. What is not
// live is left over from a kill, and stands for nothing.
func (f files) live() bool {
	if alive, err := f.supervised(); err == nil && alive {
		return true
	}
	return f.busy()
}

// tempClusters yields every temporary cluster's directory and record, spares included.
func tempClusters() func(yield func(string, record) bool) {
	return func(yield func(string, record) bool) {
		for _, root := range place.TempRoots() {
			entries, err := os.ReadDir(root)
			if err != nil {
				continue
			}
			for _, e := range entries {
				dir, ok := dataDirOf(root, e.Name())
				if !ok {
					continue
				}
				r, err := filesOf(dir).readRecord()
				if err != nil || !r.Temp {
					continue
				}
				if !yield(dir, r) {
					return
				}
			}
		}
	}
}

// dataDirOf returns the data directory to which a control directory belongs, unless that is
// an unfinished one's.
func dataDirOf(parent, control string) (string, bool) {
	name, ok := strings.CutSuffix(control, ".pgx-dev")
	if !ok || !strings.HasPrefix(name, ".") || len(name) < 2 {
		return "", false
	}
	if _, _, ok := unfinished(name); ok {
		return "", false
	}
	return filepath.Join(parent, name[1:]), true
}

// SweepTemp removes the temporary clusters that no one uses or will use: those of killed
// supervisors, of before a restart of the machine, and spares of more than a day. It
// returns how many it removed.
func SweepTemp() (removed int, err error) {
	var errs []error
	for _, root := range place.TempRoots() {
		spared := sweepMarkers(root)
		entries, err := os.ReadDir(root)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if base, pid, ok := unfinished(e.Name()); ok {
				if alive(pid) || filesOf(filepath.Join(root, base)).busy() {
					continue
				}
				errs = append(errs, os.RemoveAll(filepath.Join(root, e.Name())))
				continue
			}
			dir, ok := dataDirOf(root, e.Name())
			if !ok || spared[filepath.Base(dir)] {
				continue
			}
			done, err := sweepOne(filesOf(dir))
			if done {
				removed++
			}
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// sweepOne removes a temporary cluster unless somebody starts or runs it.
func sweepOne(f files) (bool, error) {
	trans, err := f.trySweep()
	if err != nil {
		return false, nil //nolint:nilerr // held, or gone meanwhile
	}
	defer func() { _ = trans.Unlock() }()
	if r, err := f.readRecord(); err != nil || !r.Temp && f.exists() {
		return false, err // not one of ours, though it is in our place
	}
	if alive, err := f.supervised(); err != nil || alive {
		return false, err
	}
	// An engine of a process that shares with nobody makes its temporary clusters here too.
	owner, err := dirlock.TryExclusive(filepath.Join(f.control, "owner.lock"))
	if err != nil {
		return false, nil //nolint:nilerr // held, or gone meanwhile
	}
	defer func() { _ = owner.Unlock() }()
	occupant.FreeMemory(f.dir)
	return true, removeCluster(f)
}

// unfinished returns the directory in whose place one of this name is to be, or was, and the
// process that makes or removes it. The name may be that of its control directory.
func unfinished(name string) (base string, pid int, ok bool) {
	if control, ok := strings.CutSuffix(name, ".pgx-dev"); ok {
		name = strings.TrimPrefix(control, ".")
	}
	i := strings.LastIndex(name, ".tmp-")
	if i < 0 {
		return "", 0, false
	}
	pid, err := strconv.Atoi(name[i+len(".tmp-"):])
	return name[:i], pid, err == nil
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
