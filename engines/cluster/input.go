package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readInput reads a whole file, or a pipe that has a name, as a shell makes for <(…). It
// returns when ctx ends, also while nobody has opened the pipe for writing; plain reads
// would wait in the kernel, where nothing reaches them.
func readInput(ctx context.Context, path string) ([]byte, error) {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case fi.Mode().IsRegular():
		return os.ReadFile(path)
	case fi.Mode()&os.ModeNamedPipe == 0:
		return nil, fmt.Errorf("%s is no file and no pipe (%s)", path, fi.Mode().Type())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := awaitWriter(ctx, f, path); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := io.ReadAll(f)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("read %s: %w", path, context.Cause(ctx))
	}
	return b, err
}

// awaitWriter returns when a pipe has a writer, or had one: before that it reads as empty
// (pipe_read in the kernel's fs/pipe.c), but polls as neither readable nor hung up.
func awaitWriter(ctx context.Context, f *os.File, path string) error {
	const look = 50 * time.Millisecond // for the end of ctx
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var n int
		var pollErr error
		err := raw.Control(func(fd uintptr) {
			n, pollErr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(look.Milliseconds()))
		})
		switch {
		case err != nil:
			return err
		case pollErr != nil && !errors.Is(pollErr, syscall.EINTR):
			return fmt.Errorf("read %s: %w", path, pollErr)
		case n > 0:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("read %s, into which nobody writes: %w", path, context.Cause(ctx))
		}
	}
}
