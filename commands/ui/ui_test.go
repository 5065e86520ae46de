package ui

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noEnv is an environment with nothing in it.
func noEnv(string) string { return "" }

// plainUI returns a UI that is no terminal, with its two streams.
func plainUI() (u *UI, out, err *strings.Builder) {
	out, err = &strings.Builder{}, &strings.Builder{}
	return New(strings.NewReader("y\n"), out, err, Options{Getenv: noEnv}), out, err
}

func TestTable(t *testing.T) {
	u, out, _ := plainUI()
	table := NewTable("NAME", ">SIZE", "NOTE")
	table.Row("a", "1", "first")
	table.Row("größer", "1000", "")
	table.Row("日本", "20", u.Good("wide"))
	u.Table(table)
	want := `NAME    SIZE  NOTE
a          1  first
größer  1000
日本      20  wide
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if table.Len() != 3 {
		t.Errorf("Len is %d", table.Len())
	}
}

// TestPlain checks that what is no terminal gets no escape sequences, and one line for
// each piece of long work.
func TestPlain(t *testing.T) {
	u, out, err := plainUI()
	p := u.Progress("copying", Bytes)
	for i := range int64(100) {
		p.Set(i, 100)
	}
	p.Done("copied")
	p.Stop()
	u.Note("note %d", 1)
	u.Warn("careful")
	u.Error("bad")
	u.Printf("result %s\n", u.Bold("x"))
	if got, want := err.String(), "copying …\ncopied\nnote 1\nwarning: careful\npgx-dev: bad\n"; got != want {
		t.Errorf("stderr:\n%q\nwant:\n%q", got, want)
	}
	if got := out.String(); got != "result x\n" {
		t.Errorf("stdout: %q", got)
	}
	if _, err := u.Confirm(t.Context(), "sure?"); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("Confirm without a terminal: %v", err)
	}
	if u.Out() || u.Err() || u.Width() != 80 {
		t.Errorf("Out %v, Err %v, Width %d", u.Out(), u.Err(), u.Width())
	}
}

func TestLog(t *testing.T) {
	u, _, err := plainUI()
	log := slog.New(u.LogHandler(slog.LevelInfo))
	log.Debug("not shown")
	log.Info("started", "pid", 7, "dir", "/a b", "empty", "")
	sub := log.With("component", "pool").WithGroup("conn")
	sub.Warn("slow", slog.Group("time", "took", 3*time.Second), "err", errors.New("no = way"))
	log.Error("gone")
	want := `info: started pid=7 dir="/a b" empty=""
warning: slow component=pool conn.time.took=3s conn.err="no = way"
error: gone
`
	if diff := cmp.Diff(want, err.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAmounts(t *testing.T) {
	for _, tt := range []struct {
		done, total int64
		unit        Unit
		want        string
	}{
		{0, 0, Bytes, "0 B"},
		{999, 0, Bytes, "999 B"},
		{1000, 0, Bytes, "1.0 kB"},
		{999_949, 0, Bytes, "999.9 kB"},
		{999_950, 0, Bytes, "1.0 MB"},
		{12_300_000, 23_500_205, Bytes, "12.3 MB of 23.5 MB"},
		{1234567, 0, Rows, "1,234,567 rows"},
		{3, 7, Steps, "3 of 7"},
		{1 << 62, 0, Bytes, "4.6 EB"},
	} {
		if got := amount(tt.done, tt.total, tt.unit); got != tt.want {
			t.Errorf("amount(%d, %d, %d) = %q, want %q", tt.done, tt.total, tt.unit, got, tt.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	u, out, _ := plainUI()
	u.Markdown("# A page\n\nSome *emphasis*, **strength**, `code --flag`, and [a link](https://example.com) in a paragraph that is " +
		"long enough to be wrapped somewhere.\n\n## Lists\n- one\n  goes on\n- two has so many words in it that it must be wrapped and is indented then\n" +
		"  1. deeper\n\n```\nverbatim   text *as is*\n```\n| a | b |\n|---|:-:|\n| `x` | first \\| second |\n| longer | a cell with so many words that it is wrapped within its own column |\n")
	want := `A PAGE

Some emphasis, strength, code --flag, and a link (https://example.com) in a
paragraph that is long enough to be wrapped somewhere.

Lists
- one goes on
- two has so many words in it that it must be wrapped and is indented then
  1. deeper

    verbatim   text *as is*
a       b
x       first | second
longer  a cell with so many words that it is wrapped within its own column
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// FuzzMarkdown checks that no page stops the renderer or gets control characters that it
// did not have.
func FuzzMarkdown(f *testing.F) {
	f.Add("# T\n\n- a\n  b\n| x |\n|---|\n| y | z |\n", 20)
	f.Add("```\nunclosed", 1)
	f.Add("**bold `code** x` [l](", -5)
	f.Add("|\n||\n| a |", 80)
	f.Fuzz(func(t *testing.T, src string, width int) {
		u, out, _ := plainUI()
		got := u.out.markdown(src, width)
		if !strings.Contains(src, "\x1b") && strings.Contains(got, "\x1b") {
			t.Errorf("%q has escape sequences", got)
		}
		if out.Len() != 0 {
			t.Error("it was printed")
		}
	})
}
