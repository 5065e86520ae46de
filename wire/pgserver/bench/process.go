package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

// stats are what a server says of itself.
type stats struct {
	CPU     float64 // seconds of user and system time
	Mallocs uint64
	Heap    uint64 // after a collection, with the stacks of goroutines; if it was asked for
}

// A process is a running server.
type process struct {
	addr string
	user string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	pg   *testpg.Server
}

// start runs this program again as a server.
func start(name string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{user: "postgres", cmd: exec.Command(exe, "-serve", name)}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if !p.out.Scan() {
		return nil, fmt.Errorf("it did not start: %w", p.cmd.Wait())
	}
	p.addr = p.out.Text()
	return p, nil
}

func startPostgreSQL() (*process, error) {
	pg, err := testpg.Launch(testpg.Options{TCP: true, Settings: map[string]string{"max_connections": "50", "max_wal_senders": "0", "wal_level": "minimal"}})
	if err != nil {
		return nil, err
	}
	return &process{addr: pg.Addr(), user: "postgres", pg: pg}, nil
}

func (p *process) stop() {
	if p.pg != nil {
		if err := p.pg.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		}
		return
	}
	p.in.Close()     // which ends it
	_ = p.cmd.Wait() // it has said all that it had to say
}

// stats asks a server how it is.
func (p *process) stats() (stats, error) { return p.ask("stats") }

// heap is stats with the heap, whose measure costs.
func (p *process) heap() (stats, error) { return p.ask("heap") }

func (p *process) ask(what string) (stats, error) {
	var s stats
	if p.pg != nil {
		return s, nil // its processes come and go
	}
	if _, err := io.WriteString(p.in, what+"\n"); err != nil {
		return s, err
	}
	if !p.out.Scan() {
		return s, fmt.Errorf("the server has gone: %w", p.out.Err())
	}
	return s, json.Unmarshal(p.out.Bytes(), &s)
}

// child is the server's process.
func child(name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serve, ok := servers()[name]
	if !ok {
		return fmt.Errorf("there is no server %s", name)
	}
	failed := make(chan error, 1)
	go func() { failed <- serve(l) }()
	fmt.Println(l.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		select {
		case err := <-failed:
			return err
		default:
		}
		var m runtime.MemStats
		var u syscall.Rusage
		runtime.ReadMemStats(&m)
		s := stats{Mallocs: m.Mallocs}
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return err
		}
		s.CPU = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		if in.Text() == "heap" {
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&m)
			s.Heap = m.HeapAlloc + m.StackInuse
		}
		if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
			return err
		}
	}
	return nil
}

// count reads the number that a query is.
func count(sql string) (int, error) { return strconv.Atoi(strings.Trim(sql, "\x00; \n")) }
