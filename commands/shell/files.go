package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines/script"
)

// maxDepth is how deep scripts may include each other.
const maxDepth = 32

// include is \i, and \ir for a path beside the script that has it.
func (s *shell) include(ctx context.Context, c *command) error {
	return s.one(c, func(path string) error {
		if path == "" {
			return s.complain("\\%s: missing required argument", c.name)
		}
		if strings.HasPrefix(c.name, "ir") || strings.HasSuffix(c.name, "_relative") {
			if c.in.name != "" && !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(c.in.name), path)
			}
		}
		if s.depth >= maxDepth {
			return s.complain("%s: scripts include each other more than %d deep", path, maxDepth)
		}
		s.depth++
		defer func() { s.depth-- }()
		return s.scriptFile(ctx, s.home(path))
	})
}

// home puts the home directory in the place of a leading "~/".
func (s *shell) home(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if home := s.getenv("HOME"); ok && home != "" {
		return filepath.Join(home, rest)
	}
	return path
}

func (s *shell) getenv(name string) string {
	value := ""
	for _, kv := range s.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

// redirect is \o.
func (s *shell) redirect(c *command) error {
	return s.one(c, func(path string) error {
		if err := s.closeOutput(); err != nil {
			return s.complain("%v", err)
		}
		if path == "" {
			return nil
		}
		out, err := s.create(path)
		if err != nil {
			return err
		}
		s.out, s.outFile = out, out
		return nil
	})
}

// create opens a file, or with a leading "|" a command, to write results to.
func (s *shell) create(path string) (io.WriteCloser, error) {
	if strings.HasPrefix(path, "|") {
		return nil, s.complain("results can go to a file here, not to a command; PostgreSQL's psql can do that")
	}
	f, err := os.Create(s.home(path))
	if err != nil {
		return nil, s.complain("%v", err)
	}
	return &buffered{bufio.NewWriterSize(f, 64<<10), f}, nil
}

// buffered is a file with a buffer before it.
type buffered struct {
	*bufio.Writer
	file io.Closer
}

// Close writes what is left.
func (b *buffered) Close() error { return errors.Join(b.Flush(), b.file.Close()) }

// closing closes what results went to; that its end could not be written is an error too.
func (s *shell) closing(c io.Closer, err error) error {
	if closeErr := c.Close(); closeErr != nil && err == nil {
		return s.complain("%v", closeErr)
	}
	return err
}

// echo writes its arguments with a blank between them; -n as the first leaves the newline
// out.
func (s *shell) echo(c *command) error {
	var words []string
	newline := "\n"
	for {
		word, ok, err := c.args.next()
		if err != nil {
			return s.complain("\\%s: %v", c.name, err)
		}
		if !ok {
			break
		}
		if word == "-n" && words == nil && newline != "" {
			newline = ""
			continue
		}
		words = append(words, word)
	}
	w := s.Stdout
	switch c.name {
	case "qecho":
		w = s.out
	case "warn":
		w = s.Stderr
	}
	_, err := io.WriteString(w, strings.Join(words, " ")+newline)
	return err
}

// run is \!: a command for the system's shell, or a shell.
func (s *shell) run(ctx context.Context, text string) error {
	sh := s.getenv("SHELL")
	if sh == "" {
		sh = "/bin/sh"
	}
	cmd := exec.CommandContext(ctx, sh)
	if text != "" {
		cmd = exec.CommandContext(ctx, "/bin/sh", "-c", text)
	}
	return s.child(cmd)
}

// child runs a program on our streams.
func (s *shell) child(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = s.Stdin, s.Stdout, s.Stderr, s.Environ
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() == 127) {
		return s.complain("%s: %v", cmd.Path, err)
	}
	return nil
}

// edit is \e: the statement, or a file, goes through an editor; what comes out is entered.
func (s *shell) edit(ctx context.Context, c *command) (keep string, err error) {
	if s.terminal == nil {
		return c.buffer, s.complain("\\e needs a terminal")
	}
	err = s.one(c, func(path string) error {
		if path != "" {
			path = s.home(path)
			keep, err = s.editFile(ctx, path)
			return err
		}
		text := c.buffer[leading(c.buffer):]
		if script.Blank(text) {
			text = s.last
		}
		keep, err = s.editText(ctx, text)
		return err
	})
	if err != nil {
		return c.buffer, err
	}
	return keep, nil
}

func (s *shell) editText(ctx context.Context, text string) (string, error) {
	f, err := os.CreateTemp("", "pgx-dev-*.sql") // mode 0600
	if err != nil {
		return "", s.complain("%v", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", s.complain("%v", err)
	}
	return s.editFile(ctx, f.Name())
}

func (s *shell) editFile(ctx context.Context, path string) (string, error) {
	editor := s.getenv("VISUAL")
	if editor == "" {
		editor = s.getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	// The variable may hold arguments, so a shell takes it apart.
	if err := s.child(exec.CommandContext(ctx, "/bin/sh", "-c", `exec `+editor+` "$0"`, path)); err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", s.complain("%v", err)
	}
	fmt.Fprint(s.Stdout, string(text))
	return strings.TrimRight(string(text), " \t\r\n"), nil
}
