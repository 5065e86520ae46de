package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// A variable is one environment variable.
type variable struct{ name, value string }

// A served is a server with addresses for other processes: a cluster's, or one embedded in
// this process.
type served interface {
	Info() engines.Info
	Password() (string, error)
	PassFile(ctx context.Context) (string, error)
	TCPURL(database, password string) string
	Dial(ctx context.Context) (net.Conn, error)
	Done() <-chan struct{}
	Err() error
}

// clusterEnv returns what makes any client use a database of srv.
func clusterEnv(srv served, database string) ([]variable, error) {
	info := srv.Info()
	if database == "" {
		database = info.Database
	}
	host, port, url := info.Socket, strconv.Itoa(info.Port), info.URL(database)
	var more []variable
	if info.TCP != "" {
		// Who asks for TCP has a client that cannot do without, and most of those know no
		// password file.
		passfile, err := srv.PassFile(context.Background())
		if err != nil {
			return nil, err
		}
		password, err := srv.Password()
		if err != nil {
			return nil, err
		}
		if info.Socket == "" {
			if host, port, err = net.SplitHostPort(info.TCP); err != nil {
				return nil, err
			}
		}
		url = srv.TCPURL(database, password)
		more = []variable{{"PGPASSFILE", passfile}}
	}
	vars := []variable{{"PGHOST", host}, {"PGPORT", port}, {"PGUSER", info.User}, {"PGDATABASE", database}, {"DATABASE_URL", url}}
	if info.Dir != "" {
		vars = append([]variable{{"PGDATA", info.Dir}}, vars...)
	}
	return append(vars, more...), nil
}

// ours reports whether a variable that begins with PG is none of libpq's.
func ours(name string) bool {
	for _, prefix := range []string{"PGX_DEV_", "PGM_", "PGMANAGER_", "PGDOG_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// childEnviron is our environment with the cluster's in it and no other server's: every
// other PG* variable is taken out. The runtime's programs come first in PATH.
func childEnviron(env *Env, srv served, database string) ([]string, error) {
	vars, err := clusterEnv(srv, database)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, kv := range env.Environ("DATABASE_URL", "PATH") {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "PG") || ours(name) {
			out = append(out, kv)
		}
	}
	for _, v := range vars {
		out = append(out, v.name+"="+v.value)
	}
	path := env.Getenv("PATH")
	if bindir := srv.Info().Bindir; bindir != "" {
		path = bindir + string(filepath.ListSeparator) + path
	}
	return append(out, "PATH="+path), nil
}

// runWith runs a command with a cluster's environment and returns when it has ended.
func runWith(ctx context.Context, env *Env, srv served, database string, argv []string) error {
	if len(argv) == 0 {
		return usageError("there is no command behind --")
	}
	vars, err := childEnviron(env, srv, database)
	if err != nil {
		return err
	}
	path, err := lookPath(argv[0], vars)
	if err != nil {
		return err
	}
	cmd := exec.Command(path)
	cmd.Args = argv
	cmd.Env = vars
	stop := tellEnd(env, srv)
	defer stop()
	err = runForeground(ctx, env, cmd)
	awaitDeath(ctx, srv)
	return err
}

// awaitDeath waits, if a server does not answer, until that is known as its end: a command
// may end for it, or may have ended it, before we know.
func awaitDeath(ctx context.Context, srv served) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if conn, err := srv.Dial(ctx); err == nil {
		_ = conn.Close()
		return
	}
	select {
	case <-srv.Done():
	case <-ctx.Done():
	}
}

// tellEnd says on stderr when a server ends before stop is called: the command that uses it
// sees broken connections only.
func tellEnd(env *Env, srv served) (stop func()) {
	over := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		select {
		case <-over:
			select {
			case <-srv.Done():
			default:
				return
			}
		case <-srv.Done():
		}
		if s, ok := srv.(*cluster.Server); ok && s.Ended().Why != "" {
			env.UI.Warn("the cluster was stopped (%s) while the command was using it", s.Ended().Why)
			return
		}
		env.UI.Warn("while the command was using it: %v", cmp.Or(srv.Err(), errors.New("the server ended by itself")))
	})
	return func() {
		close(over)
		work.Wait()
	}
}

// lookPath finds a program on the PATH that it will itself have.
func lookPath(name string, vars []string) (string, error) {
	if strings.ContainsRune(name, '/') {
		return name, nil
	}
	for _, kv := range vars {
		list, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			if !filepath.IsAbs(dir) {
				continue
			}
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	return "", &ExitError{Code: 127, Err: fmt.Errorf("%s: command not found", name)} // as a shell
}

// notStarted gives the failure to start a program the code that a shell gives it. ENOENT for a
// program that is there means its interpreter.
func notStarted(path string, err error) error {
	_, missing := os.Stat(path)
	switch {
	case errors.Is(missing, os.ErrNotExist):
		return &ExitError{Code: 127, Err: err}
	case errors.Is(err, os.ErrNotExist):
		return &ExitError{Code: 126, Err: fmt.Errorf("%w: the interpreter that its first line names is not there", err)}
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return &ExitError{Code: 126, Err: err}
	}
	return &ExitError{Code: ExitFailed, Err: err}
}

// runForeground runs cmd on our streams and passes on the signal that ends ctx. On a
// terminal Ctrl-C reaches the command without us. When this process is killed, Linux kills
// the command as well.
func runForeground(ctx context.Context, env *Env, cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.Stdin, env.Stdout, env.Stderr
	defer dieWithUs(cmd)()
	if err := cmd.Start(); err != nil {
		return notStarted(cmd.Path, err)
	}
	terminal := false
	if stdin, ok := env.Stdin.(*os.File); ok {
		terminal = term.IsTerminal(int(stdin.Fd()))
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		sig := syscall.SIGTERM
		if cause, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
			sig, _ = cause.sig.(syscall.Signal)
		}
		if sig == syscall.SIGINT && terminal {
			return
		}
		_ = cmd.Process.Signal(sig)
		if _, ok := errors.AsType[*lostError](context.Cause(ctx)); !ok {
			return
		}
		select {
		case <-ended:
		case <-time.After(longEnd):
			_ = cmd.Process.Kill()
		}
	})
	defer stop()
	defer close(ended)
	env.quits.Add(1)
	defer env.quits.Add(-1)
	defer passOn(cmd.Process, terminal)()
	return ChildError(cmd.Wait())
}

// longEnd is how long a command may take to end that has lost its lease.
const longEnd = 5 * time.Second

// passOn passes on the signals that mean something to the command only: SIGUSR1, SIGUSR2, and
// SIGQUIT, with which go test asks a test that takes too long where it is. stop ends that.
func passOn(to *os.Process, terminal bool) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGQUIT || !terminal { // which has told the command, too
					_ = to.Signal(sig)
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		work.Wait()
	}
}
