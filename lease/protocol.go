package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of the protocol.
const (
	MaxName = 63      // of a database's name: NAMEDATALEN - 1
	MaxLine = 4 << 10 // of a request, with its newline
)

// What a server's answer begins with.
const (
	grantPrefix = "OK:"
	emptyPrefix = "EMPTY:"
	errPrefix   = "ERR:"
)

// ControlPath returns the control socket that belongs to a lease socket.
func ControlPath(socket string) string { return socket + ".ctl" }

// appendGrant appends the grant of a name: no newline, or pgmanager's clients would take
// it for a part of the name.
func appendGrant(b []byte, name string) []byte { return append(append(b, grantPrefix...), name...) }

// appendEmpty appends the refusal that ends a legacy client.
func appendEmpty(b []byte, reason string) []byte {
	return append(append(b, emptyPrefix...), oneLine(reason)...)
}

func appendOK(b []byte, text string) []byte {
	return append(append(append(b, grantPrefix...), oneLine(text)...), '\n')
}

func appendErr(b []byte, err error) []byte {
	return append(append(append(b, errPrefix...), oneLine(err.Error())...), '\n')
}

func appendLines(b []byte, lines []string) []byte {
	b = appendOK(b, strconv.Itoa(len(lines)))
	for _, line := range lines {
		b = append(append(b, oneLine(line)...), '\n')
	}
	return b
}

// oneLine keeps a text from ending the line that it stands in.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\n\r\x00") {
		return s
	}
	return strings.NewReplacer("\r\n", "; ", "\n", "; ", "\r", " ", "\x00", "").Replace(strings.TrimRight(s, "\r\n"))
}

// A request is one line of a client.
type request struct {
	verb string
	rest string // what follows the verb
	args map[string]string
}

// parseRequest splits a line, which has no newline.
func parseRequest(line string) request {
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	return request{verb: verb, rest: strings.TrimSpace(rest)}
}

// parseArgs reads KEY=VALUE words; a value may be a JSON string. Only known keys may come.
func (r *request) parseArgs(known ...string) error {
	r.args = map[string]string{}
	for rest := r.rest; rest != ""; rest = strings.TrimLeft(rest, " ") {
		key, after, ok := strings.Cut(rest, "=")
		if !ok || strings.Contains(key, " ") {
			return fmt.Errorf("want KEY=VALUE, have %q", rest)
		}
		value := ""
		if strings.HasPrefix(after, `"`) {
			dec := json.NewDecoder(strings.NewReader(after))
			if err := dec.Decode(&value); err != nil {
				return fmt.Errorf("the value of %s does not end", key)
			}
			rest = after[dec.InputOffset():]
		} else {
			value, rest, _ = strings.Cut(after, " ")
		}
		if !slices.Contains(known, key) {
			return fmt.Errorf("no such option: %s (there are %s)", key, strings.Join(known, ", "))
		}
		r.args[key] = value
	}
	return nil
}

// duration returns an argument as a time; ok tells whether it was there.
func (r *request) duration(key string) (d time.Duration, ok bool, err error) {
	text, ok := r.args[key]
	if !ok {
		return 0, false, nil
	}
	d, err = parseTime(text)
	return d, true, err
}

// parseTime reads a duration that is not negative. "0" needs no unit.
func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("want a time such as 90s or 5m, have %q", text)
	}
	return d, nil
}

// quoteArg writes a value as parseArgs reads it.
func quoteArg(value string) string {
	if value != "" && !strings.ContainsAny(value, " \"\\\n\r\t\x00") {
		return value
	}
	b, err := json.Marshal(value)
	if err != nil {
		return `""` // a string always marshals
	}
	return string(b)
}

// parseGrant reads what a lease socket sent first.
func parseGrant(b []byte) (name string, err error) {
	s := string(b)
	if reason, ok := strings.CutPrefix(s, emptyPrefix); ok {
		return "", &RefusedError{Reason: strings.TrimRight(reason, "\n")}
	}
	name, ok := strings.CutPrefix(s, grantPrefix)
	switch {
	case s == "":
		return "", errors.New("the lease server ended before it had a database for us")
	case !ok || name == "" || len(name) > 1024:
		return "", fmt.Errorf("the lease server sent %q, which is no grant", s[:min(len(s), 80)])
	}
	return strings.ReplaceAll(name, "\x00", ""), nil
}

// A RefusedError is the server's word that there will be no database.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "no database: " + e.Reason }
