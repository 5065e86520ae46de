package handover

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Socket is a listening socket and what it is for.
type Socket struct {
	net.Listener
	// Name tells sockets apart: at most 64 bytes.
	Name string
	// Made is a directory that goes with the last who uses the socket; "" is none.
	Made string
}

// described is a Socket as it is told to the new process.
type described struct {
	Name string `json:"name"`
	Made string `json:"made,omitempty"`
}

type greeting struct {
	Version int         `json:"version"`
	PID     int         `json:"pid"`
	Note    string      `json:"note,omitempty"`
	Sockets []described `json:"sockets"`
}

const (
	version = 1
	// maxSockets is how many sockets can change hands (SCM_MAX_FD is 253).
	maxSockets  = 64
	maxGreeting = 64 << 10
	// patience is how long the other side may take for a step that needs no work.
	patience = 10 * time.Second
)

const (
	msgReady  = 'R'
	msgTaken  = 'A'
	msgCancel = 'C'
)

// An Offer hands sockets over to whoever asks first. Close ends it.
type Offer struct {
	cfg OfferConfig
	l   *net.UnixListener
	wg  sync.WaitGroup

	mu    sync.Mutex
	taken bool
	ended bool
	conns map[net.Conn]bool
}

// An OfferConfig is what an Offer needs.
type OfferConfig struct {
	// Path is where the Unix socket is made, in a directory that only this user can enter.
	// What is there is replaced. Required.
	Path string
	// Sockets are handed over.
	Sockets []Socket
	// Note is told to the new process: at most 4 kB.
	Note string
	// Taken is called once, when another process has the sockets: it accepts, and this one
	// should no more. Closing their listeners does not remove files any more. Required.
	Taken func(pid int)
	// Cancel gets the cancel requests that the other process has no client for. Nil drops them.
	Cancel func(pid uint32, key []byte)
	// Log gets what goes wrong; nil discards it.
	Log *slog.Logger
}

// NewOffer listens at the path. The socket that is there already, if any, is that of the
// process whose sockets these were, and is replaced in one step.
func NewOffer(cfg OfferConfig) (*Offer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Sockets) > maxSockets {
		return nil, fmt.Errorf("%d sockets are more than the %d that can be handed over", len(cfg.Sockets), maxSockets)
	}
	made := filepath.Join(filepath.Dir(cfg.Path), strconv.Itoa(os.Getpid()))
	_ = os.Remove(made) // of a process that had our number
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for a process that takes over: %w", err)
	}
	l.SetUnlinkOnClose(false) // the name is about to change
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, cfg.Path)
	}
	if err != nil {
		_ = os.Remove(made)
		return nil, errors.Join(fmt.Errorf("listen for a process that takes over: %w", err), l.Close())
	}
	o := &Offer{cfg: cfg, l: l, conns: map[net.Conn]bool{}}
	o.wg.Go(o.serve)
	return o, nil
}

// Close ends the offer and the connection of the process that has taken over, which learns by
// it that this one is done. The socket's file is removed unless it is that process's by now.
func (o *Offer) Close() error {
	o.mu.Lock()
	if o.ended {
		o.mu.Unlock()
		return nil
	}
	o.ended = true
	if !o.taken {
		_ = os.Remove(o.cfg.Path)
	}
	for c := range o.conns {
		_ = c.Close()
	}
	o.mu.Unlock()
	err := o.l.Close()
	o.wg.Wait()
	return err
}

func (o *Offer) serve() {
	for {
		c, err := o.l.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				o.cfg.Log.Warn("no process can take over any more", "error", err)
			}
			return
		}
		o.mu.Lock()
		if o.ended || len(o.conns) >= 8 {
			o.mu.Unlock()
			_ = c.Close()
			continue
		}
		o.conns[c] = true
		o.mu.Unlock()
		o.wg.Go(func() {
			if err := o.hand(c); err != nil {
				o.cfg.Log.Warn("a process that wanted to take over did not", "error", err)
			}
			_ = c.Close()
			o.mu.Lock()
			delete(o.conns, c)
			o.mu.Unlock()
		})
	}
}

// hand deals with one process.
func (o *Offer) hand(c *net.UnixConn) error {
	if err := o.sockets(c); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	var ready [5]byte
	if _, err := io.ReadFull(r, ready[:]); err != nil {
		return fmt.Errorf("it went away: %w", err)
	}
	if ready[0] != msgReady {
		return fmt.Errorf("it said %q", ready[0])
	}
	pid := int(binary.BigEndian.Uint32(ready[1:]))
	if err := o.accept(c); err != nil {
		return err
	}
	o.cfg.Taken(pid)
	for {
		if err := o.cancel(r); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
	}
}

// accept lets one process have the sockets.
func (o *Offer) accept(c *net.UnixConn) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken || o.ended {
		return errors.New("another one was faster")
	}
	// Written first: if it is gone, this process goes on.
	o.unlink(false)
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte{msgTaken}); err != nil {
		o.unlink(true)
		return fmt.Errorf("it went away: %w", err)
	}
	o.taken = true
	return nil
}

// unlink says whether the files of the sockets go with our listeners.
func (o *Offer) unlink(yes bool) {
	for _, s := range o.cfg.Sockets {
		if u, ok := s.Listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(yes)
		}
	}
}

// Taken reports whether another process has the sockets. After Close this does not change.
func (o *Offer) Taken() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taken
}

// sockets sends the sockets.
func (o *Offer) sockets(c *net.UnixConn) error {
	g := greeting{Version: version, PID: os.Getpid(), Note: o.cfg.Note}
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for _, s := range o.cfg.Sockets {
		fd, err := duplicate(s.Listener)
		if err != nil {
			return fmt.Errorf("hand over the socket %s: %w", s.Name, err)
		}
		fds = append(fds, fd)
		g.Sockets = append(g.Sockets, described{s.Name, s.Made})
	}
	text, err := json.Marshal(&g)
	if err != nil {
		return err
	}
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	// The sockets go with the first bytes; what is left of the text follows them.
	n, _, err := c.WriteMsgUnix(b[:4], unix.UnixRights(fds...), nil)
	if err == nil {
		_, err = c.Write(b[n:])
	}
	if err != nil {
		return fmt.Errorf("hand over the sockets: %w", err)
	}
	return nil
}

// duplicate returns a descriptor of a listener's socket. The listener goes on unchanged, which
// it would not with the one that os.File.Fd returns.
func duplicate(l net.Listener) (fd int, err error) {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("a %T has none", l)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	if cerr := rc.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3) }); cerr != nil {
		return 0, cerr
	}
	return fd, err
}

// cancel reads a cancel request.
func (o *Offer) cancel(r *bufio.Reader) error {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	if head[0] != msgCancel {
		return fmt.Errorf("it said %q", head[0])
	}
	key := make([]byte, head[5])
	if _, err := io.ReadFull(r, key); err != nil {
		return err
	}
	if o.cfg.Cancel != nil {
		o.cfg.Cancel(binary.BigEndian.Uint32(head[1:]), key)
	}
	return nil
}

// Offered reports whether a process offers its sockets at path.
func Offered(ctx context.Context, path string) bool {
	c, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
