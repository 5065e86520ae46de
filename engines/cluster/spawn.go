package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A job tells a supervisor what to run. It is the first line of its standard input, which
// its starter keeps open until the server is ready: its end before that means that the
// starter died.
type job struct {
	Engine       string          `json:"engine"`
	EngineConfig json.RawMessage `json:"engine_config,omitempty"`
	Spec         engines.Spec    `json:"spec"`
	Destroy      bool            `json:"destroy,omitempty"` // destroy at the end
	Pinned       bool            `json:"pinned,omitempty"`  // stay without users
	Idle         time.Duration   `json:"idle,omitempty"`
	Spare        string          `json:"spare,omitempty"`   // what to prepare once ready
	Waiting      bool            `json:"waiting,omitempty"` // a spare: prepares the next one when claimed
}

// A report is the supervisor's only line of standard output, when the server is ready or
// has not started.
type report struct {
	Running *running `json:"running,omitempty"`
	Err     string   `json:"err,omitempty"`
	Kind    string   `json:"kind,omitempty"` // which of the engines' errors it wraps
}

// kinds are the errors that keep their identity between processes.
var kinds = map[string]error{
	"no runtime":  engines.ErrNoRuntime,
	"locked":      engines.ErrLocked,
	"not exist":   engines.ErrNotExist,
	"unsupported": engines.ErrUnsupported,
	"version":     engines.ErrVersion,
}

func reportError(err error) report {
	r := report{Err: err.Error()}
	for kind, target := range kinds {
		if errors.Is(err, target) {
			r.Kind = kind
		}
	}
	return r
}

// A remoteError is an error that happened in a supervisor.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// spawn starts a supervisor for j and returns when its server is ready. The caller holds
// trans.lock. The supervisor is in a session of its own, so that no terminal's signal
// reaches it, and reports to f.log.
func (m *Manager) spawn(ctx context.Context, f files, j job) (*running, error) {
	if len(m.Command) == 0 {
		return nil, errors.New("start a supervisor: Manager.Command says no program to run")
	}
	logFile, err := openLog(f.log())
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()

	cmd := exec.Command(m.Command[0], m.Command[1:]...) // not CommandContext: it outlives us
	cmd.Env = append(os.Environ(), m.Env...)
	cmd.Dir = f.control
	cmd.Stderr = logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Our own pipes, because cmd.Wait would close the ones it made before we have read them.
	theirIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = stdin.Close() }() // before ready: it gives up; after: ignored
	stdout, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close())
	}
	defer func() { _ = stdout.Close() }()
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	err = cmd.Start()
	_, _ = theirIn.Close(), theirOut.Close()
	if err != nil {
		return nil, fmt.Errorf("start a supervisor: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaped by us for as long as we live, then by init
	stop := context.AfterFunc(ctx, func() { _ = stdin.Close() })
	defer stop()

	if err := json.NewEncoder(stdin).Encode(j); err != nil {
		return nil, m.supervisorDied(ctx, f, err)
	}
	var rep report
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &rep)
	}
	switch {
	case err != nil:
		return nil, m.supervisorDied(ctx, f, err)
	case rep.Err != "":
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &remoteError{rep.Err, kinds[rep.Kind]}
	case rep.Running == nil:
		return nil, fmt.Errorf("start a supervisor: it reported nothing; see %s", f.log())
	}
	return rep.Running, nil
}

func (m *Manager) supervisorDied(ctx context.Context, f files, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the supervisor ended before the server was ready (%w)%s", err, logTail(f.log()))
}

// openLog opens a log for appending, and starts a new one when it has become long.
func openLog(path string) (*os.File, error) {
	const limit = 1 << 20
	if fi, err := os.Stat(path); err == nil && fi.Size() > limit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// logTail returns the last lines of a log, ready to be appended to an error.
func logTail(path string) string {
	const bytes, lines = 4 << 10, 12
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if fi, err := file.Stat(); err == nil && fi.Size() > bytes {
		_, _ = file.Seek(-bytes, io.SeekEnd)
	}
	b, _ := io.ReadAll(file)
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return fmt.Sprintf("; the end of %s:\n%s", path, strings.Join(all, "\n"))
}
