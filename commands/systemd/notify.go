package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Notifier tells the service manager how this process is. The zero value tells nobody. It is
// safe for concurrent use.
type Notifier struct {
	addr     string
	watchdog time.Duration
}

// NewNotifier returns one for the service manager that the environment names.
func NewNotifier(getenv func(string) string) (Notifier, error) {
	n := Notifier{addr: getenv("NOTIFY_SOCKET")}
	if n.addr == "" {
		return n, nil
	}
	if n.addr[0] != '/' && n.addr[0] != '@' {
		return Notifier{}, fmt.Errorf("NOTIFY_SOCKET is %q: only Unix sockets are supported", n.addr)
	}
	pid, usec := getenv("WATCHDOG_PID"), getenv("WATCHDOG_USEC")
	if usec != "" && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		us, err := strconv.ParseInt(usec, 10, 64)
		if err != nil || us <= 0 {
			return Notifier{}, fmt.Errorf("WATCHDOG_USEC is %q, and should be a number of microseconds", usec)
		}
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n, nil
}

// Watchdog is how often the service manager wants to hear of us at least: Alive should be
// called twice as often. 0 is never.
func (n Notifier) Watchdog() time.Duration { return n.watchdog }

// Ready says that this process serves: at the start, and when a reload is over.
func (n Notifier) Ready(status string) error {
	return n.send("READY=1", "STATUS="+line(status), "MAINPID="+strconv.Itoa(os.Getpid()))
}

// Reloading says that the configuration is being read again; Ready ends that.
func (n Notifier) Reloading() error {
	if n.addr == "" {
		return nil
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that this process is about to end.
func (n Notifier) Stopping(status string) error {
	return n.send("STOPPING=1", "STATUS="+line(status))
}

// Alive keeps the watchdog quiet.
func (n Notifier) Alive() error { return n.send("WATCHDOG=1") }

// line makes one line of a text.
func line(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }

func (n Notifier) send(assignments ...string) error {
	if n.addr == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.addr, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err = c.Write([]byte(strings.Join(assignments, "\n"))); err != nil {
		err = fmt.Errorf("notify the service manager: %w", err)
	}
	return errors.Join(err, c.Close())
}
