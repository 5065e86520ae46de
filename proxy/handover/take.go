package handover

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNobody says that no process offers its sockets.
var ErrNobody = errors.New("no process hands its sockets over")

// A Takeover is what another process hands over. Its methods may be called by several
// goroutines. Close ends it: before Accept, the other process goes on as if nothing had been.
type Takeover struct {
	// Sockets listen already. Whoever has the Takeover closes them.
	Sockets []Socket
	// PID is the other process.
	PID int
	// Note is what it says besides.
	Note string

	c *net.UnixConn

	mu sync.Mutex
}

// Take asks the process that offers its sockets at path for them. The error wraps ErrNobody if
// there is none. Nothing is accepted from them before Accept.
func Take(ctx context.Context, path string) (*Takeover, error) {
	nc, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w (%s)", ErrNobody, path)
	} else if err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	t := &Takeover{c: nc.(*net.UnixConn)}
	if err := t.receive(); err != nil {
		t.discard()
		return nil, fmt.Errorf("take over: %w", err)
	}
	return t, nil
}

// discard closes everything.
func (t *Takeover) discard() {
	for _, s := range t.Sockets {
		_ = s.Close()
	}
	_ = t.c.Close()
}

// receive reads the greeting and the sockets that come with it.
func (t *Takeover) receive() error {
	_ = t.c.SetReadDeadline(time.Now().Add(patience))
	var size [4]byte
	room := make([]byte, unix.CmsgSpace(4*maxSockets))
	n, roomN, flags, _, err := t.c.ReadMsgUnix(size[:], room)
	fds, rightsErr := rights(room[:roomN])
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	switch {
	case err != nil:
		return err
	case rightsErr != nil:
		return rightsErr
	case flags&unix.MSG_CTRUNC != 0:
		return errors.New("the sockets did not all come: there may be too few file descriptors")
	}
	if _, err := io.ReadFull(t.c, size[n:]); err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(size[:])
	if length > maxGreeting {
		return fmt.Errorf("a greeting of %d bytes", length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(t.c, text); err != nil {
		return err
	}
	var g greeting
	if err := json.Unmarshal(text, &g); err != nil {
		return err
	}
	switch {
	case g.Version != version:
		return fmt.Errorf("process %d hands over in version %d, and this is %d: end it, and start anew", g.PID, g.Version, version)
	case len(g.Sockets) != len(fds):
		return fmt.Errorf("%d sockets came, and %d were named", len(fds), len(g.Sockets))
	}
	t.PID, t.Note = g.PID, g.Note
	for i, d := range g.Sockets {
		l, err := listener(fds[i], d.Name)
		if err != nil {
			return fmt.Errorf("the socket %s: %w", d.Name, err)
		}
		t.Sockets = append(t.Sockets, Socket{l, d.Name, d.Made})
	}
	return t.c.SetReadDeadline(time.Time{})
}

// rights takes the descriptors out of a control message.
func rights(b []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		more, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return fds, err
		}
		for _, fd := range more {
			unix.CloseOnExec(fd)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

// listener makes a listener of a descriptor, which stays the caller's.
func listener(fd int, name string) (net.Listener, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), name)
	defer func() { _ = f.Close() }()
	return net.FileListener(f)
}

// Accept tells the other process that this one is ready, and returns when accepting is this
// one's. Files of Unix sockets are removed from now on when their listeners are closed.
func (t *Takeover) Accept() error {
	_ = t.c.SetDeadline(time.Now().Add(patience))
	ready := binary.BigEndian.AppendUint32([]byte{msgReady}, uint32(os.Getpid()))
	if _, err := t.c.Write(ready); err != nil {
		return fmt.Errorf("take over from process %d: %w", t.PID, err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(t.c, answer[:]); err != nil || answer[0] != msgTaken {
		return fmt.Errorf("process %d has ended, or another one has taken over from it: %w", t.PID, errors.Join(err, errRefused))
	}
	for _, s := range t.Sockets {
		if u, ok := s.Listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(true)
		}
	}
	return t.c.SetDeadline(time.Time{})
}

var errRefused = errors.New("it does not hand its sockets over")

// Cancel passes a cancel request on to the other process, whose clients may still be served.
func (t *Takeover) Cancel(pid uint32, key []byte) {
	if len(key) > 255 {
		return // no key is this long
	}
	b := append(binary.BigEndian.AppendUint32([]byte{msgCancel}, pid), byte(len(key)))
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.c.SetWriteDeadline(time.Now().Add(patience))
	_, _ = t.c.Write(append(b, key...)) // it may have ended: then its clients have too
}

// Ended returns when the other process has ended, or when ctx does. It may be called once.
func (t *Takeover) Ended(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = t.c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var b [1]byte
	_, _ = t.c.Read(b[:]) // it says no more
}

// Close ends the connection to the other process.
func (t *Takeover) Close() error { return t.c.Close() }
