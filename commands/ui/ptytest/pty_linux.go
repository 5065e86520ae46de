// Package ptytest runs a program on a pseudo-terminal and talks to it as a person would, for
// tests of what happens only on a terminal. It exists on Linux only.
package ptytest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Term is a program on a terminal. What it writes is collected.
type Term struct {
	t      testing.TB
	master *os.File

	mu      sync.Mutex
	changed *sync.Cond
	output  bytes.Buffer
	seen    int // how much of output Expect has gone past
	eof     bool
}

// Open returns a new pseudo-terminal's two ends, of the given size. Both are closed when
// the test ends.
func Open(t testing.TB, rows, cols uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open a pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatalf("number of the pseudo-terminal: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatalf("unlock the pseudo-terminal: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		t.Fatalf("size of the pseudo-terminal: %v", err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open the pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

// Start runs cmd on a terminal of its own, of 40 rows and 100 columns. The program is
// killed when the test ends, if it has not ended.
func Start(t testing.TB, cmd *exec.Cmd) *Term {
	t.Helper()
	master, slave := Open(t, 40, 100)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	_ = slave.Close()
	term := &Term{t: t, master: master}
	term.changed = sync.NewCond(&term.mu)
	var reader sync.WaitGroup
	reader.Go(term.read)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, or has ended as the test saw
		_ = master.Close()
		reader.Wait()
	})
	return term
}

func (m *Term) read() {
	buf := make([]byte, 4096)
	for {
		n, err := m.master.Read(buf)
		m.mu.Lock()
		m.output.Write(buf[:n])
		m.eof = err != nil // EIO once the program has ended
		m.changed.Broadcast()
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Type sends keys.
func (m *Term) Type(keys string) {
	m.t.Helper()
	if _, err := m.master.WriteString(keys); err != nil {
		m.t.Fatalf("type %q: %v", keys, err)
	}
}

// Expect waits until text appears in the output after what the last Expect found, and
// returns what came before it. It fails the test after half a minute, or at the end of the
// program.
func (m *Term) Expect(text string) string {
	m.t.Helper()
	timeout := time.AfterFunc(30*time.Second, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.eof = true
		m.changed.Broadcast()
	})
	defer timeout.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		rest := m.output.String()[m.seen:]
		if i := strings.Index(rest, text); i >= 0 {
			m.seen += i + len(text)
			return rest[:i]
		}
		if m.eof {
			m.t.Fatalf("%q did not appear; the terminal has:\n%q", text, rest)
		}
		m.changed.Wait()
	}
}

// Output returns everything that was written so far.
func (m *Term) Output() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.output.String()
}

// Wait waits for the end of the output and returns all of it.
func (m *Term) Wait() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.eof {
		m.changed.Wait()
	}
	return m.output.String()
}
