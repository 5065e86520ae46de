package line

import (
	"strings"
)

// search goes back through the history for what is typed, as Ctrl-R does in readline. It
// returns true when Enter ended it, which runs what was found; every other key that ends
// it leaves the entry in the line.
func (e *Editor) search() (done bool, err error) {
	draft := string(e.buf)
	var want []rune
	at, found := 0, ""
	find := func(from int) {
		for i := from; i < e.History.Len(); i++ {
			if entry := e.History.At(i); strings.Contains(entry, string(want)) {
				at, found = i, entry
				return
			}
		}
	}
	for {
		e.draw("(search)`"+string(want)+"': ", []rune(found), 0)
		k, err := readKey(e.in)
		if err != nil {
			return false, err
		}
		switch {
		case k == ctrl('C'):
			e.setText(draft)
			return false, ErrInterrupted
		case k == ctrl('G'):
			e.setText(draft)
			return false, nil
		case k == ctrl('R'):
			find(at + 1)
		case k == keyBackspace || k == ctrl('H'):
			if len(want) > 0 {
				want = want[:len(want)-1]
				find(0)
			}
		case k >= ' ' && k < keyNone:
			want = append(want, rune(k))
			find(0)
		default:
			if found == "" {
				found = draft
			}
			e.setText(found)
			if k == keyEnter || k == '\n' {
				return true, nil
			}
			e.edit(k)
			return false, nil
		}
	}
}
