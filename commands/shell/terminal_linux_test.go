package shell_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"github.com/pgx-dev/pgx-dev/commands/shell"
)

// childEnv makes the test program run the shell: "socket directory|port|database|history".
const childEnv = "SHELL_TEST_CHILD"

// child is the program on the other end of the terminal.
func child(where string) int {
	part := strings.Split(where, "|")
	err := shell.Run(context.Background(), shell.Config{
		Database: part[2],
		Server: func(db, user string) (*pgconn.Config, error) {
			if user == "" {
				user = "postgres"
			}
			return pgconn.ParseConfig(fmt.Sprintf("host=%s port=%s dbname=%s user=%s sslmode=disable", part[0], part[1], db, user))
		},
		HistoryFile: part[3],
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "shell:", err)
		return 1
	}
	return 0
}

// A session is a person at a terminal with the shell on it.
type session struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd

	mu    sync.Mutex
	seen  bytes.Buffer
	more  chan struct{} // has something when seen has grown
	ended chan struct{}
}

// open starts the shell on a new terminal of 60 columns.
func open(t *testing.T, db, history string, env ...string) *session {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60}); err != nil {
		t.Fatal(err)
	}
	info := server.Info()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d|%s|%s", childEnv, info.Socket, info.Port, db, history))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	s := &session{t: t, master: master, cmd: cmd, more: make(chan struct{}, 1), ended: make(chan struct{})}
	go s.watch()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing, when it has ended
		<-s.ended
		_ = master.Close()
		if t.Failed() {
			t.Logf("the screen was sent:\n%q", s.seen.String())
		}
	})
	return s
}

// watch reads what the terminal shows until its last user is gone.
func (s *session) watch() {
	defer close(s.ended)
	buf := make([]byte, 4096)
	for {
		n, err := s.master.Read(buf)
		s.mu.Lock()
		s.seen.Write(buf[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil { // EIO
			_ = s.cmd.Wait()
			return
		}
	}
}

// enter types text; nothing waits for it to be read.
func (s *session) enter(text string) {
	s.t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// expect waits for text, and takes it and all before it off the screen.
func (s *session) expect(text string) string {
	s.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		s.mu.Lock()
		before, after, found := strings.Cut(s.seen.String(), text)
		if found {
			s.seen.Reset()
			s.seen.WriteString(after)
		}
		s.mu.Unlock()
		if found {
			return before
		}
		select {
		case <-s.more:
		case <-s.ended:
			s.t.Fatalf("the shell ended; expected %q", text)
		case <-deadline:
			s.t.Fatalf("timed out; expected %q", text)
		}
	}
}

// end waits for the shell's end and returns its exit code.
func (s *session) end() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(2 * time.Minute):
		s.t.Fatal("the shell does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}
