package line

import (
	"io"
	"slices"
	"strings"
	"unicode"
)

// edit carries out a key that changes the line or moves in it.
func (e *Editor) edit(k key) {
	switch k {
	case keyBackspace, ctrl('H'):
		e.erase(max(e.pos-1, 0), e.pos)
	case keyDelete:
		e.erase(e.pos, min(e.pos+1, len(e.buf)))
	case ctrl('K'):
		e.kill(e.pos, e.lineEnd())
	case ctrl('U'):
		e.kill(e.lineStart(), e.pos)
	case ctrl('W'):
		e.kill(e.wordLeft(unicode.IsSpace), e.pos)
	case keyWordBackspace:
		e.kill(e.wordLeft(notWord), e.pos)
	case keyWordDelete:
		e.kill(e.pos, e.wordRight())
	case ctrl('Y'):
		e.insert(e.killed...)
	case ctrl('T'):
		if at := min(e.pos, len(e.buf)-1); at > 0 {
			e.buf[at-1], e.buf[at] = e.buf[at], e.buf[at-1]
			e.pos = at + 1
			e.refresh()
		}
	case ctrl('B'), keyLeft:
		e.moveTo(e.pos - 1)
	case ctrl('F'), keyRight:
		e.moveTo(e.pos + 1)
	case ctrl('A'), keyHome:
		e.moveTo(e.lineStart())
	case ctrl('E'), keyEnd:
		e.moveTo(e.lineEnd())
	case keyWordLeft:
		e.moveTo(e.wordLeft(notWord))
	case keyWordRight:
		e.moveTo(e.wordRight())
	case ctrl('P'), keyUp:
		e.recall(e.recalled + 1)
	case ctrl('N'), keyDown:
		e.recall(e.recalled - 1)
	case ctrl('L'):
		_, _ = io.WriteString(e.out, "\x1b[H\x1b[2J")
		e.row = 0
		e.refresh()
	case '\t':
		e.complete()
	default:
		if k >= ' ' && k < keyNone {
			e.insert(rune(k))
		}
	}
}

func (e *Editor) insert(text ...rune) {
	end := e.pos == len(e.buf)
	e.buf = slices.Insert(e.buf, e.pos, text...)
	e.pos += len(text)
	if end && len(text) == 1 && e.append(text[0]) {
		return
	}
	e.refresh()
}

func (e *Editor) erase(from, to int) {
	if from >= to {
		return
	}
	e.buf = slices.Delete(e.buf, from, to)
	e.pos = from
	e.refresh()
}

func (e *Editor) kill(from, to int) {
	if from >= to {
		return
	}
	e.killed = slices.Clone(e.buf[from:to])
	e.erase(from, to)
}

func (e *Editor) moveTo(pos int) {
	e.pos = min(max(pos, 0), len(e.buf))
	e.refresh()
}

func (e *Editor) setText(text string) {
	e.buf = append(e.buf[:0], []rune(text)...)
	e.pos = len(e.buf)
	e.refresh()
}

// recall shows an entry of the history; before the newest one comes the line that was
// being written.
func (e *Editor) recall(index int) {
	if index < -1 || index >= e.History.Len() {
		return
	}
	if e.recalled == -1 {
		e.draft = string(e.buf)
	}
	e.recalled = index
	if index == -1 {
		e.setText(e.draft)
		return
	}
	e.setText(e.History.At(index))
}

func (e *Editor) lineStart() int {
	for i := e.pos; i > 0; i-- {
		if e.buf[i-1] == '\n' {
			return i
		}
	}
	return 0
}

func (e *Editor) lineEnd() int {
	for i := e.pos; i < len(e.buf); i++ {
		if e.buf[i] == '\n' {
			return i
		}
	}
	return len(e.buf)
}

func notWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }

func (e *Editor) wordLeft(gap func(rune) bool) int {
	i := e.pos
	for i > 0 && gap(e.buf[i-1]) {
		i--
	}
	for i > 0 && !gap(e.buf[i-1]) {
		i--
	}
	return i
}

func (e *Editor) wordRight() int {
	i := e.pos
	for i < len(e.buf) && notWord(e.buf[i]) {
		i++
	}
	for i < len(e.buf) && !notWord(e.buf[i]) {
		i++
	}
	return i
}

// complete puts the only candidate in place of the word before the cursor, or what all
// candidates begin with; where that adds nothing, it lists them.
func (e *Editor) complete() {
	if e.Complete == nil {
		e.insert('\t')
		return
	}
	before := string(e.buf[:e.pos])
	start, candidates := e.Complete(before)
	if len(candidates) == 0 {
		return
	}
	word := commonPrefix(candidates)
	if len(candidates) == 1 {
		word += " "
	}
	if len(candidates) > 1 && len(word) <= len(before)-start {
		from := e.pos
		e.pos = len(e.buf)
		e.refresh()
		_, _ = io.WriteString(e.out, "\r\n"+strings.Join(candidates[:min(len(candidates), 100)], "  ")+"\r\n")
		e.row, e.pos = 0, from
		e.refresh()
		return
	}
	head := append([]rune(before[:start]), []rune(word)...)
	e.buf = append(head, e.buf[e.pos:]...)
	e.pos = len(head)
	e.refresh()
}

func commonPrefix(words []string) string {
	p := words[0]
	for _, w := range words[1:] {
		for !strings.HasPrefix(w, p) {
			_, size := lastRune(p)
			p = p[:len(p)-size]
		}
	}
	return p
}
