package native

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
)

// A helper is what a re-executed test binary does: it starts a server, says so, and waits
// to be killed or for the end of its input.
type helper struct {
	Program  string // a copy of the test binary; default itself
	Config   Config
	Spec     engines.Spec
	Watchdog bool     // rather than the death signal
	Mount    string   // make this directory a tmpfs, in a namespace of our own
	Size     string   // of the tmpfs
	NoUserNS bool     // forbid further user namespaces
	Env      []string // beside ours
}

// runHelper prints one line for each event: "initdb", "ready PID", "error ...", "stopped".
func runHelper(text string) {
	var h helper
	err := json.Unmarshal([]byte(text), &h)
	if err == nil {
		err = h.run()
	}
	if err != nil {
		fmt.Printf("error %q\n", err)
		os.Exit(1)
	}
}

func (h helper) run() error {
	if h.Mount != "" {
		if err := syscall.Mount("tmpfs", h.Mount, "tmpfs", 0, "size="+h.Size+",mode=0700"); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
	}
	if h.NoUserNS {
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0o600); err != nil {
			return err
		}
	}
	e := New(h.Config, WithProgress(func(p Progress) {
		if p.Phase == "initdb" {
			fmt.Println("initdb")
		}
	}))
	e.system = nil
	e.watchdog = h.Watchdog
	ctx := context.Background()
	srv, err := e.Start(ctx, h.Spec)
	if err != nil {
		if h.Mount != "" {
			size, sizeErr := dirSize(h.Mount)
			fmt.Println("left", size, sizeErr)
		}
		return err
	}
	fmt.Println("ready", srv.Info().PID)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		conn, err := engines.Connect(ctx, srv, "")
		if err != nil {
			return err
		}
		// Several statements; the last one answers.
		results, err := conn.PgConn().Exec(ctx, commands.Text()).ReadAll()
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			fmt.Printf("error %q\n", err)
			continue
		}
		fmt.Printf("answer %s\n", results[len(results)-1].Rows[0][0])
	}
	if err := srv.Close(ctx); err != nil {
		return err
	}
	fmt.Println("stopped")
	return nil
}

// A child is a running helper.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	log   strings.Builder
}

// spawnHelper starts a helper; attr may be nil.
func spawnHelper(t *testing.T, h helper, attr *syscall.SysProcAttr) *child {
	t.Helper()
	if h.Config.Bindirs == nil {
		rt := runtimes(t)[0]
		h.Config.Bindirs, h.Config.Default = []string{rt.Bindir}, rt.Bindir
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(cmp.Or(h.Program, "/proc/self/exe"))}
	c.cmd.Env = append(os.Environ(), "PGX_DEV_TEST_HELPER="+string(text))
	c.cmd.Env = append(c.cmd.Env, h.Env...)
	c.cmd.SysProcAttr = attr
	c.cmd.Stderr = &c.log
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// expect reads the next line, which must begin with want, and returns the rest. That
// initdb runs is passed over unless it is wanted.
func (c *child) expect(want string) string {
	c.t.Helper()
	for {
		if !c.lines.Scan() {
			c.t.Fatalf("helper ended, want %q\n%s", want, c.log.String())
		}
		if want == "initdb" || c.lines.Text() != "initdb" {
			break
		}
	}
	rest, ok := strings.CutPrefix(c.lines.Text(), want)
	if !ok {
		c.t.Fatalf("helper says %s, want %q\n%s", c.lines.Text(), want, c.log.String())
	}
	return strings.TrimSpace(rest)
}

// ask has the helper run a query.
func (c *child) ask(sql string) string {
	c.t.Helper()
	c.say(sql)
	return c.expect("answer")
}

func (c *child) say(sql string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.stdin, sql); err != nil {
		c.t.Fatal(err)
	}
}

// kill ends the helper as nothing else does, and waits for it.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// stop ends the helper politely.
func (c *child) stop() {
	c.t.Helper()
	if err := c.stdin.Close(); err != nil {
		c.t.Error(err)
	}
	c.expect("stopped")
	if err := c.cmd.Wait(); err != nil {
		c.t.Error(err)
	}
}
