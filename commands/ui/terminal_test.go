//go:build linux

package ui

import (
	"bufio"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/commands/ui/ptytest"
)

// onTerminal returns a UI on a new terminal, and the terminal's other end.
func onTerminal(t *testing.T, cols uint16, env map[string]string) (*UI, *os.File) {
	t.Helper()
	master, slave := ptytest.Open(t, 24, cols)
	getenv := func(name string) string { return env[name] }
	return New(slave, slave, slave, Options{Getenv: getenv}), master
}

// readUntil reads from the terminal until text appears.
func readUntil(t *testing.T, master *os.File, text string) string {
	t.Helper()
	var got strings.Builder
	buf := make([]byte, 1024)
	timeout := time.AfterFunc(2*time.Minute, func() { _ = master.Close() })
	defer timeout.Stop()
	for !strings.Contains(got.String(), text) {
		n, err := master.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("%q did not appear in %q: %v", text, got.String(), err)
		}
	}
	return got.String()
}

// TestColours checks when colours are used: sixteen of them, and without asking the
// terminal anything.
func TestColours(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		off  bool
		want string
	}{
		{"terminal", map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, false, "\x1b[32mok\x1b[0m|"},
		{"NO_COLOR", map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false, "ok|"},
		{"flag", map[string]string{"TERM": "xterm"}, true, "ok|"},
		{"dumb", map[string]string{"TERM": "dumb"}, false, "ok|"},
		{"no TERM", nil, false, "ok|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, master := onTerminal(t, 80, tt.env)
			if tt.off {
				u.Plain()
			}
			u.Printf("%s|", u.Good("ok"))
			if got := readUntil(t, master, "|"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestProgressLine checks that the line is drawn, keeps clear of other output, stays
// within the terminal, and goes away.
func TestProgressLine(t *testing.T) {
	u, master := onTerminal(t, 40, map[string]string{"TERM": "xterm", "NO_COLOR": "1"})
	p := u.Progress("download", Bytes)
	p.Set(5_000_000, 10_000_000)
	p.Detail("a detail that is much too long for such a narrow terminal")
	shown := readUntil(t, master, "50%")
	if !strings.Contains(shown, "download") {
		t.Errorf("the line is %q", shown)
	}
	frame := shown[strings.LastIndex(shown, "\r"):]
	if n := len([]rune(strings.TrimPrefix(frame, "\r\x1b[K"))); n > 40 {
		t.Errorf("a frame has %d columns: %q", n, frame)
	}
	slog.New(u.LogHandler(slog.LevelInfo)).Info("meanwhile")
	if got := readUntil(t, master, "meanwhile\r\n"); !strings.Contains(got, "\r\x1b[Kinfo: meanwhile\r\n") {
		t.Errorf("the log line is %q", got)
	}
	p.Done("downloaded")
	if got := readUntil(t, master, "downloaded\r\n"); !strings.HasSuffix(got, "\r\x1b[Kdownloaded\r\n") {
		t.Errorf("the end is %q", got)
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "n\n": false, "yep\n": false, "\x04": false} {
		u, master := onTerminal(t, 80, map[string]string{"TERM": "xterm"})
		if _, err := master.WriteString(answer); err != nil {
			t.Fatal(err)
		}
		got, err := u.Confirm(t.Context(), "destroy main?")
		if err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", answer, got, err, want)
		}
		line, err := bufio.NewReader(master).ReadString(']')
		if err != nil || !strings.Contains(line, "destroy main? [y/N]") {
			t.Errorf("%q: asked %q, %v", answer, line, err)
		}
	}
}
