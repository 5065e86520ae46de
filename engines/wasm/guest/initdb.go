package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/wasm/guestfs"
)

// Guest paths.
const (
	DataDir  = "/pglite/data"
	stdinAt  = "/pglite/pgstdin"
	stdoutAt = "/pglite/pgstdout"
	localeAt = "/pglite/locale-a"
	server   = "/pglite/bin/postgres"
)

func environment() []string {
	return []string{
		"HOME=/home/postgres", "USER=postgres", "LOGNAME=postgres", "PGDATA=" + DataDir, "PGUSER=postgres", "PGDATABASE=postgres",
		"LANG=en_US.UTF-8", "LC_COLLATE=en_US.UTF-8", "LC_CTYPE=en_US.UTF-8", "TZ=UTC", "PGTZ=UTC", "PGCLIENTENCODING=UTF8",
		"ICU_DATA=/pglite/icu", "PATH=/", "PWD=/", "_=" + server,
	}
}

// Mounts builds the guest's file system: the package's files read-only, the data
// directory, and scratch for everything else, where /tmp must exist.
func (rt *Runtime) Mounts(data, scratch guestfs.Tree) (*guestfs.FS, error) {
	root, err := guestfs.OpenDir(rt.root, true)
	if err != nil {
		return nil, err
	}
	pglite, err := guestfs.OpenDir(rt.root+"/pglite", true)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	f := guestfs.New()
	f.Mount("/home", root)
	f.Mount("/pglite", pglite)
	f.Mount(DataDir, data)
	f.Mount("/", scratch)
	f.Alias(stdinAt, "/tmp/.pgstdin")
	f.Alias(stdoutAt, "/tmp/.pgstdout")
	return f, nil
}

// Initdb makes a data directory at DataDir of f, with user as the bootstrap superuser. It
// runs the package's initdb; each program that initdb starts is a fresh instance.
func (rt *Runtime) Initdb(ctx context.Context, f *guestfs.FS, user string) error {
	var log bytes.Buffer
	env := append(environment(), "LANG=C.UTF-8")
	p, err := rt.bootstrapper(ctx)
	if err != nil {
		return err
	}
	in, err := rt.newInstance(ctx, f, env, p)
	if err != nil {
		return fmt.Errorf("start initdb: %w", err)
	}
	defer in.Close()
	in.Proc.NoSync = true
	in.Proc.Stdout, in.Proc.Stderr = &log, &log
	b := &bootstrap{rt: rt, ctx: ctx, fs: f, in: in, log: &log}
	in.system, in.popen, in.pclose = b.system, b.popen, b.pclose
	if _, err := catch(func() { in.registerCallbacks() }); err != nil {
		return fmt.Errorf("start initdb: %w", err)
	}
	code, err := in.runMain([]string{
		"/pglite/bin/initdb", "--allow-group-access", "--encoding", "UTF8", "--locale=C.UTF-8", "--locale-provider=libc",
		"--auth=trust", "--wal-segsize=1", "--no-sync", "--username=" + user,
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case b.err != nil:
		return fmt.Errorf("run initdb: %w\n%s", b.err, tail(log.String()))
	case err != nil:
		return fmt.Errorf("run initdb: %w\n%s", err, tail(log.String()))
	case code != 0:
		return fmt.Errorf("initdb failed with code %d:\n%s", code, tail(log.String()))
	}
	return nil
}

// tail returns the last lines of a log.
func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

func catch(f func()) (ok bool, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = asError(x)
		}
	}()
	f()
	return true, nil
}

// bootstrap runs the programs that initdb starts with system and popen.
type bootstrap struct {
	rt  *Runtime
	ctx context.Context
	fs  *guestfs.FS
	in  *Instance
	log io.Writer
	err error

	writing  []string // command of the popen(…, "w") that is open
	writeTo  uint32
	readCode int32
}

func (b *bootstrap) system(cmd string) int32 { return b.run(cmd, "", "/dev/null") }

func (b *bootstrap) popen(cmd, mode string) uint32 {
	switch {
	case strings.HasPrefix(cmd, "locale"):
		return b.fopen(localeAt, "r")
	case mode == "r":
		b.readCode = b.run(cmd, "", stdoutAt)
		return b.fopen(stdoutAt, "r")
	}
	// The input is gathered in a file; the program runs when it is complete.
	b.writing = []string{cmd}
	b.writeTo = b.fopen(stdinAt, "w")
	return b.writeTo
}

func (b *bootstrap) pclose(file uint32) int32 {
	b.in.Call("fclose", uint64(file))
	if file == b.writeTo && b.writing != nil {
		cmd := b.writing[0]
		b.writing, b.writeTo = nil, 0
		return b.run(cmd, stdinAt, stdoutAt)
	}
	return b.readCode
}

func (b *bootstrap) fopen(name, mode string) uint32 {
	return uint32(b.in.Call("fopen", b.in.cstring(name), b.in.cstring(mode)))
}

// run runs "postgres …" to its end and returns its exit code.
func (b *bootstrap) run(cmd, stdin, stdout string) int32 {
	if b.ctx.Err() != nil {
		return 1
	}
	in, err := b.rt.newBackend(b.ctx, b.fs)
	if err != nil {
		b.err = err
		return 1
	}
	defer in.Close()
	in.Proc.NoSync = true
	in.Proc.Stdout, in.Proc.Stderr = b.log, b.log
	for fd, name := range []string{stdin, stdout} {
		if name == "" {
			continue
		}
		flags := 0
		if fd == 1 && name != "/dev/null" {
			flags = guestfs.OWronly | guestfs.OCreate | guestfs.OTrunc
		}
		if err := in.Proc.Redirect(fd, name, flags); err != nil {
			b.err = &fs.PathError{Op: "redirect", Path: name, Err: err}
			return 1
		}
	}
	code, err := in.runMain(shellWords(cmd))
	if err != nil {
		b.err = err
		return 1
	}
	return int32(code)
}

// shellWords splits a command as initdb quotes it, up to its redirections.
func shellWords(s string) []string {
	var words []string
	var word strings.Builder
	in := false
	quote := byte(0)
	end := func() {
		if in {
			words = append(words, word.String())
			word.Reset()
			in = false
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			in = true
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\n' || c == '\t':
			end()
		case strings.IndexByte("<>|;&", c) >= 0:
			if n := word.String(); n == "1" || n == "2" { // a descriptor's number
				return words
			}
			end()
			return words
		default:
			word.WriteByte(c)
			in = true
		}
	}
	end()
	return words
}
