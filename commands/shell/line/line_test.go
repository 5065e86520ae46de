package line

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestReadKey(t *testing.T) {
	tests := []struct {
		in   string
		want key
	}{
		{"a", 'a'},
		{"語", '語'},
		{"\r", keyEnter},
		{"\x7f", keyBackspace},
		{"\xff", keyNone},
		{"\x1b[A", keyUp},
		{"\x1bOB", keyDown},
		{"\x1b[C", keyRight},
		{"\x1b[1;5C", keyWordRight},
		{"\x1b[1;3D", keyWordLeft},
		{"\x1b[H", keyHome},
		{"\x1bOF", keyEnd},
		{"\x1b[1~", keyHome},
		{"\x1b[8~", keyEnd},
		{"\x1b[3~", keyDelete},
		{"\x1bb", keyWordLeft},
		{"\x1bd", keyWordDelete},
		{"\x1b\x7f", keyWordBackspace},
		{"\x1b[200~", keyPaste},
		{"\x1b[99z", keyNone},
		{"\x1bq", keyNone},
	}
	for _, tt := range tests {
		in := bufio.NewReader(strings.NewReader(tt.in))
		got, err := readKey(in)
		if rest, _ := io.ReadAll(in); got != tt.want || err != nil || len(rest) > 0 {
			t.Errorf("%q: %d %v, left %q; want %d", tt.in, got, err, rest, tt.want)
		}
	}
}

// A screen is a terminal that understands what the editor writes.
type screen struct {
	width    int
	rows     [][]rune
	row, col int
}

func (s *screen) Write(b []byte) (int, error) {
	text := []rune(string(b))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\r':
			s.col = 0
		case '\n':
			s.row++
		case '\x1b':
			end := i + 2
			for text[end] < '@' || text[end] > '~' {
				end++
			}
			n, err := strconv.Atoi(string(text[i+2 : end]))
			if err != nil {
				n = 1
			}
			switch text[end] {
			case 'A':
				s.row -= n
			case 'C':
				s.col += n
			case 'J':
				s.rows = s.rows[:min(s.row+1, len(s.rows))]
				if s.row < len(s.rows) {
					s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
				}
			}
			i = end
		default:
			w := 1
			if r >= 0x3000 {
				w = 2
			}
			if s.col+w > s.width {
				s.row, s.col = s.row+1, 0
			}
			for len(s.rows) <= s.row {
				s.rows = append(s.rows, nil)
			}
			for len(s.rows[s.row]) < s.col+w {
				s.rows[s.row] = append(s.rows[s.row], ' ')
			}
			s.rows[s.row][s.col] = r
			if w == 2 {
				s.rows[s.row][s.col+1] = '_'
			}
			s.col += w
		}
	}
	return len(b), nil
}

func (s *screen) String() string {
	var lines []string
	for _, r := range s.rows {
		lines = append(lines, string(r))
	}
	return strings.Join(lines, "|")
}

// TestDraw looks at what a person sees and where the cursor is, on 10 columns.
func TestDraw(t *testing.T) {
	tests := []struct {
		keys     string
		want     string
		row, col int
	}{
		{"abc", "> abc", 0, 5},
		{"abc\x1b[D\x1b[DX", "> aXbc", 0, 4},
		{"abcdefgh", "> abcdefgh", 1, 0},
		{"abcdefghij", "> abcdefgh|ij", 1, 2},
		{"abcdefghij\x01", "> abcdefgh|ij", 0, 2},
		{"abcdefghij\x01X", "> Xabcdefg|hij", 0, 3},
		{"abcdefghij\x15", "> ", 0, 2},
		{"語語語語語", "> 語_語_語_語_|語_", 1, 2},
		{"a語語語語語", "> a語_語_語_|語_語_", 1, 4},
		{"\x1b[200~a\nbc\x1b[201~d", "> a|bcd", 1, 3},
		{"\x1b[200~a\nbc\x1b[201~\x01X", "> a|Xbc", 1, 1},
		{"a\tb", "> a     b", 0, 9},
		{"ab\x14", "> ba", 0, 4},
		{"abc\x1b[D\x1b[D\x0b\x19\x19", "> abcbc", 0, 7},
	}
	for _, tt := range tests {
		s := &screen{width: 10}
		e := &Editor{History: &History{}, in: bufio.NewReader(strings.NewReader(tt.keys)), out: s, width: func() int { return 10 }}
		// What is typed ends without Enter; the line is drawn once more at its end.
		row, col := -1, -1
		e.in = bufio.NewReader(io.MultiReader(strings.NewReader(tt.keys), readerFunc(func([]byte) (int, error) {
			row, col = s.row, s.col
			return 0, io.EOF
		})))
		if _, err := e.read("> "); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if got := strings.TrimRight(s.String(), "|"); strings.TrimRight(got, " ") != strings.TrimRight(tt.want, " ") || row != tt.row || col != tt.col {
			t.Errorf("%q: %q, cursor at %d,%d; want %q at %d,%d", tt.keys, got, row, col, tt.want, tt.row, tt.col)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func FuzzEditor(f *testing.F) {
	for _, s := range []string{"a\x1b[D\x01b\r", "\x12x\r", "\x1b[200~a\nb\x1b[201~\r", "\x1b[A\x1b[A\x1b[B\t\r", "語\x7f\x17\x19\r", "\x1b[999999999999C"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, keys string) {
		h := &History{entries: []string{"one", "two\nlines", "語"}}
		e := &Editor{
			History: h, in: bufio.NewReader(strings.NewReader(keys)), out: io.Discard, width: func() int { return 7 },
			Complete: func(before string) (int, []string) { return len(before), []string{"語x", "語y"} },
		}
		for {
			if _, err := e.read("語> "); err != nil && !errors.Is(err, ErrInterrupted) {
				break
			}
			if e.in.Buffered() == 0 {
				break
			}
		}
		if e.pos < 0 || e.pos > len(e.buf) {
			t.Errorf("the cursor is at %d of %d", e.pos, len(e.buf))
		}
	})
}

func TestHistoryFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var old bytes.Buffer
	for i := range 2*maxHistory + 1 {
		old.WriteString("entry " + strconv.Itoa(i) + "\n")
	}
	if err := os.WriteFile(path, old.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if h.Len() != maxHistory || h.At(0) != "entry "+strconv.Itoa(2*maxHistory) {
		t.Errorf("%d entries, the newest %q", h.Len(), h.At(0))
	}
	for _, entry := range []string{"a\nb", "a\nb", "", "  ", " secret", "c"} {
		if err := h.Add(entry); err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Len() != maxHistory+2 || again.At(0) != "c" || again.At(1) != "a\nb" {
		t.Errorf("%d entries, the newest %q and %q", again.Len(), again.At(0), again.At(1))
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}
