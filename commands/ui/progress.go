package ui

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/lipgloss"
)

// A Unit is what a Progress counts.
type Unit int

// The units of progress.
const (
	Steps Unit = iota
	Bytes
	Rows
)

// interval is how often a progress line is redrawn.
const interval = 100 * time.Millisecond

// A Progress is one line on stderr about something that takes long. On a terminal it is
// redrawn in place and gone at the end; elsewhere it is one plain line at the start. Its
// methods are safe for concurrent use. Stop it.
type Progress struct {
	ui    *UI
	label string
	unit  Unit

	mu          sync.Mutex
	done, total int64
	detail      string
	started     time.Time
	frame       int

	stop chan struct{}
	wait sync.WaitGroup
	once sync.Once
}

// Progress starts a progress line. Until Set is called it shows that something goes on.
func (u *UI) Progress(label string, unit Unit) *Progress {
	p := &Progress{ui: u, label: label, unit: unit, started: time.Now(), stop: make(chan struct{})}
	if !u.err.terminal {
		u.Note("%s …", label)
		return p
	}
	u.mu.Lock()
	u.line = p
	u.mu.Unlock()
	p.wait.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				u.mu.Lock()
				p.mu.Lock()
				p.frame++
				p.mu.Unlock()
				u.redraw()
				u.mu.Unlock()
			case <-p.stop:
				return
			}
		}
	})
	return p
}

// Set says how much is done, out of total; a total of 0 is not known.
func (p *Progress) Set(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.total = done, total
}

// Add says that n more is done.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
}

// Detail says what is being done right now.
func (p *Progress) Detail(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.detail = text
}

// Stop takes the line away. A second Stop does nothing.
func (p *Progress) Stop() {
	p.once.Do(func() {
		close(p.stop)
		p.wait.Wait()
		p.ui.mu.Lock()
		defer p.ui.mu.Unlock()
		if p.ui.line == p {
			p.ui.clear()
			p.ui.line = nil
		}
	})
}

// Done takes the line away and leaves a message in its place.
func (p *Progress) Done(format string, args ...any) {
	p.Stop()
	p.ui.Note(format, args...)
}

// clear and redraw are called with u.mu held.
func (u *UI) clear() {
	if u.line != nil {
		fmt.Fprint(u.err.w, "\r\x1b[K")
	}
}

func (u *UI) redraw() {
	if u.line != nil {
		fmt.Fprint(u.err.w, "\r\x1b[K"+u.line.render(u.err))
	}
}

// render returns the line, no wider than the terminal.
func (p *Progress) render(s *stream) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	spinner := s.paint(blue, string([]rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[p.frame%10]))
	text := p.label
	if p.total > 0 {
		text += " " + bar(p.done, p.total, 20) + fmt.Sprintf(" %3d%%", min(100, p.done*100/p.total))
	}
	if p.done > 0 {
		text += "  " + amount(p.done, p.total, p.unit)
		if secs := time.Since(p.started).Seconds(); secs > 1 && p.unit != Steps {
			text += ", " + amount(int64(float64(p.done)/secs), 0, p.unit) + "/s"
		}
	}
	if p.detail != "" {
		text += "  " + p.detail
	}
	width := s.width() - 3
	if lipgloss.Width(text) > width {
		text = cut(text, width)
	}
	return spinner + " " + text
}

func bar(done, total int64, width int) string {
	n := int(min(done, total) * int64(width) / total)
	return "[" + strings.Repeat("█", n) + strings.Repeat("░", width-n) + "]"
}

// amount writes a count: "12.3 MB of 23.5 MB", "1,234 rows", "3 of 7".
func amount(done, total int64, unit Unit) string {
	one := func(n int64) string {
		if unit == Bytes {
			return Size(n)
		}
		return group(n)
	}
	text := one(done)
	if total > 0 {
		text += " of " + one(total)
	}
	if unit == Rows {
		text += " rows"
	}
	return text
}

// Size writes a number of bytes in the decimal units that disks are sold in: 23.5 MB.
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n), "kMGTPE"
	i := -1
	for f >= 999.95 && i < len(units)-1 {
		f /= 1000
		i++
	}
	return fmt.Sprintf("%.1f %cB", f, units[i])
}

// group writes a number with commas between thousands.
func group(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// cut shortens text to width columns.
func cut(text string, width int) string {
	if width < 1 {
		return ""
	}
	runes := []rune(text)
	for len(runes) > 0 && lipgloss.Width(string(runes)) > width-1 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
