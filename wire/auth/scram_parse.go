package auth

import "strings"

// attr takes "<name>=<value>" off the front of a message, up to the next comma or the end.
// PostgreSQL's read_attr_value; final says that nothing follows.
func attr(msg string, name byte) (value, rest string, final bool, err error) {
	if msg == "" {
		return "", "", true, malformed("Attribute %q expected but the message ended.", string(name))
	}
	if msg[0] != name {
		return "", "", false, malformed("Expected attribute %q but found %q.", string(name), printable(msg[0]))
	}
	if len(msg) < 2 || msg[1] != '=' {
		return "", "", false, malformed("Expected character \"=\" for attribute %q.", string(name))
	}
	value, rest, found := strings.Cut(msg[2:], ",")
	return value, rest, !found, nil
}

// anyAttr takes an extension off the front of a message: a letter, "=", a value.
func anyAttr(msg string) (name byte, value, rest string, final bool, err error) {
	if msg == "" {
		return 0, "", "", true, malformed("Attribute expected, but the message ended.")
	}
	if c := msg[0] | 0x20; c < 'a' || c > 'z' {
		return 0, "", "", false, malformed("Attribute expected, but found invalid character %q.", printable(msg[0]))
	}
	value, rest, final, err = attr(msg, msg[0])
	return msg[0], value, rest, final, err
}

// validNonce reports whether s is RFC 5802's printable: %x21-2B / %x2D-7E, not empty.
func validNonce(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E || s[i] == ',' {
			return false
		}
	}
	return s != ""
}

// printable shows one byte of a stranger's message safely (sanitize_char).
func printable(c byte) string {
	if c < 0x21 || c > 0x7E {
		const hex = "0123456789abcdef"
		return "0x" + string(hex[c>>4]) + string(hex[c&15])
	}
	return string(c)
}
