package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstFD is the first descriptor that is handed over (SD_LISTEN_FDS_START).
const firstFD = 3

// A Socket is a listening socket with its FileDescriptorName.
type Socket struct {
	net.Listener
	Name string
}

// Variables are the environment variables that are meant for this process alone, and must not
// be passed on to its children.
func Variables() []string {
	return []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "MAINPID"}
}

// Sockets returns the sockets that were handed to this process. They may be taken once. Each
// must be a listening stream socket; Closing one of a Unix socket does not remove its file,
// which is the service manager's.
func Sockets(getenv func(string) string) ([]Socket, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil // they are another process's, or there are none
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, and should be a number of sockets", getenv("LISTEN_FDS"))
	}
	for i := range n {
		unix.CloseOnExec(firstFD + i)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	var out []Socket
	for i := range n {
		name := "unknown" // as sd_listen_fds_with_names has it
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		f := os.NewFile(uintptr(firstFD+i), name)
		l, err := net.FileListener(f)
		_ = f.Close() // the listener has one of its own
		if err == nil {
			err = check(l)
		}
		if err != nil {
			for _, s := range out {
				_ = s.Close()
			}
			return nil, fmt.Errorf("socket %d of LISTEN_FDS (%s): %w", i+1, name, err)
		}
		out = append(out, Socket{l, name})
	}
	return out, nil
}

func check(l net.Listener) error {
	switch l.(type) {
	case *net.TCPListener, *net.UnixListener:
		return nil
	}
	_ = l.Close()
	return fmt.Errorf("is neither TCP nor a Unix socket, but %s", l.Addr().Network())
}
