package line

import (
	"bufio"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A key is a character, a control character, or one of the keys that send a sequence.
type key rune

const (
	keyEnter     key = '\r'
	keyBackspace key = 0x7f

	keyNone key = unicode.MaxRune + iota // a sequence that means nothing here
	keyLeft
	keyRight
	keyUp
	keyDown
	keyHome
	keyEnd
	keyDelete
	keyWordLeft
	keyWordRight
	keyWordBackspace
	keyWordDelete
	keyPaste // what follows, up to pasteEnd, was pasted
)

func ctrl(letter rune) key { return key(letter & 0x1f) }

// readKey reads one key. The sequences are those of xterm, in the forms that terminals
// agree on.
func readKey(in *bufio.Reader) (key, error) {
	r, size, err := in.ReadRune()
	if err != nil {
		return keyNone, err
	}
	if r == utf8.RuneError && size == 1 {
		return keyNone, nil
	}
	if r != '\x1b' {
		return key(r), nil
	}
	c, err := in.ReadByte()
	if err != nil {
		return keyNone, err
	}
	switch c {
	case '[':
		return readCSI(in)
	case 'O':
		c, err := in.ReadByte()
		return finalKey(c, ""), err
	case 'b', 'B':
		return keyWordLeft, nil
	case 'f', 'F':
		return keyWordRight, nil
	case 'd', 'D':
		return keyWordDelete, nil
	case 0x7f, 0x08:
		return keyWordBackspace, nil
	}
	return keyNone, nil
}

// readCSI reads the rest of a control sequence: parameters, then one final byte.
func readCSI(in *bufio.Reader) (key, error) {
	var params strings.Builder
	for {
		c, err := in.ReadByte()
		if err != nil {
			return keyNone, err
		}
		if c >= 0x40 && c <= 0x7e {
			return finalKey(c, params.String()), nil
		}
		if params.Len() < 32 {
			params.WriteByte(c)
		}
	}
}

func finalKey(final byte, params string) key {
	_, modifier, _ := strings.Cut(params, ";")
	word := modifier == "5" || modifier == "3" // Ctrl or Alt
	switch final {
	case 'A':
		return keyUp
	case 'B':
		return keyDown
	case 'C':
		if word {
			return keyWordRight
		}
		return keyRight
	case 'D':
		if word {
			return keyWordLeft
		}
		return keyLeft
	case 'H':
		return keyHome
	case 'F':
		return keyEnd
	case '~':
		number, _, _ := strings.Cut(params, ";")
		switch number {
		case "1", "7":
			return keyHome
		case "4", "8":
			return keyEnd
		case "3":
			return keyDelete
		case "200":
			return keyPaste
		}
	}
	return keyNone
}

const pasteEnd = "\x1b[201~"

// readPaste reads pasted text up to its end mark. Line ends become newlines; other control
// characters than tabs are left out.
func readPaste(in *bufio.Reader) (string, error) {
	var raw []byte
	for {
		c, err := in.ReadByte()
		if err != nil {
			return "", err
		}
		raw = append(raw, c)
		if c == '~' && strings.HasSuffix(string(raw[max(len(raw)-len(pasteEnd), 0):]), pasteEnd) {
			break
		}
	}
	text := strings.ToValidUTF8(string(raw[:len(raw)-len(pasteEnd)]), "\ufffd")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text), nil
}

func lastRune(s string) (rune, int) { return utf8.DecodeLastRuneInString(s) }
