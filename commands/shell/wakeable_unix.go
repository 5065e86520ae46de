//go:build unix

package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A wakeable reads standard input, and stops when a context ends even though nothing
// comes: a read of a terminal or a pipe cannot be interrupted otherwise.
type wakeable struct {
	in    io.Reader
	file  *os.File // in, if it is a file
	ctx   context.Context
	r, w  *os.File // readable once ctx has ended
	unreg func() bool
}

func newWakeable(ctx context.Context, in io.Reader) (*wakeable, error) {
	file, ok := in.(*os.File)
	if !ok {
		return &wakeable{in: in, ctx: ctx}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	k := &wakeable{in: in, file: file, ctx: ctx, r: r, w: w}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_, _ = w.Write([]byte{0})
	})
	k.unreg = func() bool {
		stopped := stop()
		if !stopped {
			<-done
		}
		return stopped
	}
	return k, nil
}

func (k *wakeable) Read(b []byte) (int, error) {
	if k.ctx.Err() != nil {
		return 0, context.Cause(k.ctx)
	}
	if k.file == nil {
		return k.in.Read(b)
	}
	for {
		fds := []unix.PollFd{
			{Fd: int32(k.file.Fd()), Events: unix.POLLIN},
			{Fd: int32(k.r.Fd()), Events: unix.POLLIN},
		}
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for input: %w", err)
		case fds[1].Revents != 0:
			return 0, context.Cause(k.ctx)
		case fds[0].Revents != 0:
			return k.in.Read(b)
		}
	}
}

func (k *wakeable) close() {
	if k.file == nil {
		return
	}
	k.unreg()
	_ = k.r.Close()
	_ = k.w.Close()
}
