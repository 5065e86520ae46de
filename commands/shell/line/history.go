package line

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A History holds what was entered before, newest last. The zero value is empty and is
// kept nowhere.
type History struct {
	path    string
	entries []string
}

// maxHistory is how many entries are read from a file. A file of twice as many is cut.
const maxHistory = 1000

// Newlines in an entry are kept as this character, as readline does for psql.
const newlineMark = "\x01"

// OpenHistory reads a history file, or begins one: with mode 0600, its directories 0700.
func OpenHistory(path string) (*History, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make room for the history: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	h := &History{path: path}
	for l := range strings.Lines(string(text)) {
		if l = strings.TrimSuffix(l, "\n"); l != "" {
			h.entries = append(h.entries, strings.ReplaceAll(l, newlineMark, "\n"))
		}
	}
	if len(h.entries) > 2*maxHistory {
		h.entries = h.entries[len(h.entries)-maxHistory:]
		err = h.rewrite()
	} else {
		err = h.append("")
	}
	return h, err
}

// Add appends an entry, to the file too. What equals the newest entry, is empty or begins
// with a space is passed over: a space keeps a password out of the file.
func (h *History) Add(entry string) error {
	entry = strings.TrimRight(entry, "\n")
	if strings.TrimSpace(entry) == "" || entry[0] == ' ' || len(h.entries) > 0 && h.At(0) == entry {
		return nil
	}
	h.entries = append(h.entries, entry)
	if h.path == "" {
		return nil
	}
	return h.append(encode(entry))
}

// Len returns the number of entries.
func (h *History) Len() int { return len(h.entries) }

// At returns an entry; 0 is the newest.
func (h *History) At(i int) string { return h.entries[len(h.entries)-1-i] }

func encode(entry string) string { return strings.ReplaceAll(entry, "\n", newlineMark) + "\n" }

func (h *History) append(text string) error {
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	// Others may have made the file, or loosened its mode.
	err = f.Chmod(0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	return errors.Join(err, f.Close())
}

func (h *History) rewrite() error {
	var b strings.Builder
	for _, e := range h.entries {
		b.WriteString(encode(e))
	}
	tmp, err := os.CreateTemp(filepath.Dir(h.path), ".history-") // mode 0600
	if err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	_, err = tmp.WriteString(b.String())
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), h.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the history: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}
