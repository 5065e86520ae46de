package outside_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/commands"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

// asProgram makes the test binary pgx-dev.
const asProgram = "OUTSIDE_IS_PGX_DEV"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if os.Getenv("OUTSIDE_SETS_LISTEN_PID") != "" { // who starts us cannot know it
			_ = os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
		}
		os.Exit(commands.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
	}
	os.Exit(m.Run())
}

// patience is how long anything may take here.
const patience = time.Minute

// A server is a real PostgreSQL.
type server struct {
	socket string // its directory
	port   int
	user   string
}

// serve starts a server that ends with the test.
func serve(t *testing.T) *server {
	t.Helper()
	srv, err := native.New(native.DefaultConfig()).Start(t.Context(), engines.Spec{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	return &server{srv.Info().Socket, srv.Info().Port, srv.Info().User}
}

// A project is a directory with a configuration.
type project struct {
	t   *testing.T
	dir string
	env []string
}

// configure writes pgdog.toml, which has the server as the database app, and users.toml, which
// has the user app with the password secret. general is added to [general].
func configure(t *testing.T, s *server, general, more string) *project {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgxo") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &project{t: t, dir: dir}
	p.write("pgdog.toml", fmt.Sprintf(`[general]
host = "127.0.0.1"
port = 0
%s
[admin]
password = "hush"
[[databases]]
name = "app"
host = %q
port = %d
database_name = "postgres"
%s`, general, s.socket, s.port, more))
	p.write("users.toml", fmt.Sprintf("[[users]]\nname = %q\ndatabase = \"app\"\npassword = \"secret\"\n", s.user))
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "LISTEN_") && name != "NOTIFY_SOCKET" {
			p.env = append(p.env, kv)
		}
	}
	p.env = append(p.env, asProgram+"=1", "XDG_RUNTIME_DIR="+dir, "HOME="+dir, "PGX_DEV_STATE="+dir+"/state")
	return p
}

func (p *project) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// A process is a pgx-dev that runs.
type process struct {
	*exec.Cmd
	t      *testing.T
	url    string
	stderr *lines
	ended  chan struct{}
	err    error // once it has ended
}

// command returns pgx-dev with these arguments, not started.
func (p *project) command(args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	return cmd
}

// proxy starts a proxy and waits until it says that it serves.
func (p *project) proxy(args ...string) *process {
	p.t.Helper()
	return p.start(p.command(append([]string{"-v", "proxy", "--pgdog", "pgdog.toml"}, args...)...))
}

func (p *project) start(cmd *exec.Cmd) *process {
	p.t.Helper()
	x := &process{Cmd: cmd, t: p.t, stderr: &lines{}, ended: make(chan struct{})}
	cmd.Stderr = x.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal SIGHUP is for us
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	first := make(chan string, 1)
	go func() {
		defer close(x.ended)
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		first <- strings.TrimSpace(line)
		_, _ = r.WriteTo(x.stderr)
		x.err = cmd.Wait()
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-x.ended
		if p.t.Failed() {
			text, _, _ := strings.Cut(x.stderr.String(), "SIGABRT: abort")
			p.t.Logf("process %d: %v\n… %s", cmd.Process.Pid, x.err, text[max(0, len(text)-3000):])
		}
	})
	select {
	case x.url = <-first:
	case <-time.After(patience):
	}
	if x.url == "" {
		p.t.Fatalf("the proxy does not serve: %s", x.stderr)
	}
	return x
}

// says waits for a text on the standard error.
func (x *process) says(text string) {
	x.t.Helper()
	eventually(x.t, "it says "+text, func() bool { return strings.Contains(x.stderr.String(), text) })
}

// end ends a process as an operator would, and wants it to end well.
func (x *process) end() {
	x.t.Helper()
	if err := x.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		x.t.Error(err)
	}
	x.wait()
}

// wait waits for the end of a process, which must be one without an error or by our signal.
func (x *process) wait() {
	x.t.Helper()
	select {
	case <-x.ended:
	case <-time.After(patience):
		x.t.Fatalf("process %d does not end", x.Process.Pid)
	}
	var exit *exec.ExitError
	if x.err != nil && (!errors.As(x.err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM)) {
		x.t.Errorf("process %d: %v\n%s", x.Process.Pid, x.err, x.stderr)
	}
}

// connect connects as a user of the proxy.
func connect(ctx context.Context, url, user, password, database string, also ...string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.User, cfg.Password, cfg.Database = user, password, database
	for i := 0; i+1 < len(also); i += 2 {
		cfg.RuntimeParams[also[i]] = also[i+1]
	}
	if database == "admin" {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return pgx.ConnectConfig(ctx, cfg)
}

// app is a connection that ends with the test.
func (x *process) app() *pgx.Conn {
	x.t.Helper()
	c, err := connect(x.t.Context(), x.url, "postgres", "secret", "app")
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// admin asks the admin database.
func (x *process) admin(sql string) [][]string {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	c, err := connect(ctx, x.url, "admin", "hush", "admin")
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	results, err := c.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		x.t.Fatalf("%s: %v", sql, err)
	}
	var out [][]string
	for _, r := range results {
		for _, row := range r.Rows {
			var cells []string
			for _, v := range row {
				cells = append(cells, string(v))
			}
			out = append(out, cells)
		}
	}
	return out
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond) // polls what another process does
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

// lines is a buffer that several goroutines use.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
