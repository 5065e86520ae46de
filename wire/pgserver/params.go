package pgserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// reported are the parameters a client is told of, and again when they change (those with
// GUC_REPORT in utils/misc/guc_tables.c), with their defaults.
var reported = map[string]string{
	"server_version": "15.0", "server_encoding": "UTF8", "client_encoding": "UTF8",
	"application_name": "", "default_transaction_read_only": "off", "in_hot_standby": "off",
	"is_superuser": "off", "session_authorization": "", "DateStyle": "ISO, MDY",
	"IntervalStyle": "postgres", "TimeZone": "UTC", "integer_datetimes": "on",
	"standard_conforming_strings": "on",
}

// params are a session's settings.
type params struct {
	values  map[string]string
	initial map[string]string // what RESET goes back to
	changed []string          // to be told with the next ReadyForQuery
	told    map[string]string // what the client believes
}

// spelling returns a parameter's name as PostgreSQL writes it: case does not matter.
func spelling(name string) string {
	for known := range reported {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return strings.ToLower(name)
}

// init sets the defaults, the server's parameters and what the startup message asks for.
func (p *params) init(srv *Server, startup *wire.StartupMessage) error {
	p.values = maps.Clone(reported)
	for name, value := range srv.Params {
		name = spelling(name)
		canonical, err := check(name, value)
		if err != nil {
			return fmt.Errorf("pgserver: the server's own parameter %s: %w", name, err)
		}
		p.values[name] = canonical
	}
	p.values["session_authorization"] = startup.User()
	set := func(name, value string) error {
		name = spelling(name)
		if readOnly(name) {
			return wire.Errorf("55P02", "parameter %q cannot be changed", name)
		}
		canonical, err := check(name, value)
		if err == nil {
			p.values[name] = canonical
		}
		return err
	}
	for _, param := range startup.Params {
		switch param.Name {
		case "user", "database", "replication":
		case "options":
			opts, err := options(param.Value)
			if err != nil {
				return err
			}
			for _, o := range opts {
				if err := set(o[0], o[1]); err != nil {
					return err
				}
			}
		default:
			if param.IsProtocolOption() {
				continue
			}
			if err := set(param.Name, param.Value); err != nil {
				return err
			}
		}
	}
	p.initial = maps.Clone(p.values)
	p.changed = slices.Sorted(maps.Keys(reported))
	for name := range srv.Params {
		if name = spelling(name); !slices.Contains(p.changed, name) {
			p.changed = append(p.changed, name)
		}
	}
	return nil
}

// report tells the client what changed.
func (p *params) report(w *wire.Writer) error {
	if p.told == nil {
		p.told = make(map[string]string, len(p.changed))
	}
	for _, name := range p.changed {
		if old, ok := p.told[name]; ok && old == p.values[name] {
			continue
		}
		p.told[name] = p.values[name]
		if err := w.Send(&wire.ParameterStatus{Name: name, Value: p.values[name]}); err != nil {
			return err
		}
	}
	p.changed = p.changed[:0]
	return nil
}

// Param returns a setting of the session, and whether there is one of that name.
func (s *Session) Param(name string) (string, bool) {
	v, ok := s.params.values[spelling(name)]
	return v, ok
}

// Params returns all settings of the session, by name.
func (s *Session) Params() map[string]string { return maps.Clone(s.params.values) }

// SetParam changes a setting. Those that the library itself follows (DateStyle,
// IntervalStyle, TimeZone, extra_float_digits, bytea_output, client_encoding) are checked. The
// client is told with the next ReadyForQuery if it is one that is reported. An error has
// code 22023, or 55P02 where the setting is the server's.
func (s *Session) SetParam(name, value string) error {
	name = spelling(name)
	if readOnly(name) {
		return wire.Errorf("55P02", "parameter %q cannot be changed", name)
	}
	return s.TellParam(name, value)
}

// TellParam is SetParam for the server itself, which may change what clients cannot, such as
// in_hot_standby.
func (s *Session) TellParam(name, value string) error {
	name = spelling(name)
	if name == "DateStyle" {
		value = mergeDateStyle(s.params.values[name], value)
	}
	canonical, err := check(name, value)
	if err != nil {
		return err
	}
	old, had := s.params.values[name]
	s.params.values[name] = canonical
	s.style = style{} // made anew when it is needed
	if _, told := reported[name]; told && (!had || old != canonical) && !slices.Contains(s.params.changed, name) {
		s.params.changed = append(s.params.changed, name)
	}
	return nil
}

// ResetParam sets a setting back to what it was when the session began; "" means all.
func (s *Session) ResetParam(name string) error {
	if name != "" {
		name = spelling(name)
		initial, ok := s.params.initial[name]
		if !ok {
			delete(s.params.values, name)
			s.style = style{}
			return nil
		}
		return s.TellParam(name, initial)
	}
	for _, name := range slices.Sorted(maps.Keys(s.params.values)) {
		if !readOnly(name) {
			if err := s.ResetParam(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func readOnly(name string) bool {
	switch name {
	case "server_version", "server_version_num", "server_encoding", "integer_datetimes", "in_hot_standby", "is_superuser":
		return true
	}
	return false
}

// check returns a value as PostgreSQL writes it.
func check(name, value string) (string, error) {
	bad := func(hint string) (string, error) {
		e := wire.Errorf(wire.CodeInvalidParameterValue, "invalid value for parameter %q: %q", name, value)
		e.Hint = hint
		return "", e
	}
	switch name {
	case "client_encoding":
		switch squeeze(value) {
		case "UTF8", "UNICODE", "AUTO":
			return "UTF8", nil
		}
		return bad("This server speaks UTF8 only.")
	case "standard_conforming_strings":
		if b, ok := parseBool(value); !ok || !b {
			return bad("This server knows standard-conforming strings only.")
		}
		return "on", nil
	case "DateStyle":
		d, err := parseDateStyle(value)
		if err != nil {
			return bad("It is ISO, SQL, Postgres or German, and DMY, MDY or YMD.")
		}
		return d.String(), nil
	case "IntervalStyle":
		v := strings.ToLower(value)
		if !slices.Contains(intervalStyles, v) {
			return bad("Available values: " + strings.Join(intervalStyles, ", ") + ".")
		}
		return v, nil
	case "TimeZone":
		loc, err := loadZone(value)
		if err != nil {
			return bad("")
		}
		return loc.String(), nil
	case "extra_float_digits":
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < -15 || n > 3 {
			return bad("It is a number from -15 to 3.")
		}
		return strconv.Itoa(n), nil
	case "bytea_output":
		v := strings.ToLower(value)
		if v != "hex" && v != "escape" {
			return bad("Available values: escape, hex.")
		}
		return v, nil
	case "application_name":
		return strings.Map(func(r rune) rune { // as pg_clean_ascii
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, value), nil
	}
	return value, nil
}

func squeeze(s string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", "_", "", " ", "", "'", "").Replace(s))
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "on", "true", "yes", "1", "t", "y":
		return true, true
	case "off", "false", "no", "0", "f", "n":
		return false, true
	}
	return false, false
}

// loadZone finds a time zone by name or by a plain offset in hours, whose sign is ISO's.
func loadZone(name string) (*time.Location, error) {
	switch {
	case strings.EqualFold(name, "utc"), strings.EqualFold(name, "gmt"), strings.EqualFold(name, "zulu"), strings.EqualFold(name, "z"):
		return time.LoadLocation(strings.ToUpper(name[:1]) + strings.ToUpper(name[1:]))
	case name == "" || strings.EqualFold(name, "local"):
		return nil, errors.New("no such time zone")
	}
	if loc, err := time.LoadLocation(name); err == nil {
		return loc, nil
	}
	hours, err := strconv.ParseFloat(name, 64)
	if err != nil || hours < -15 || hours > 15 {
		return nil, fmt.Errorf("no such time zone: %q", name)
	}
	offset := int(hours * 3600)
	sign, a := '+', offset
	if offset < 0 {
		sign, a = '-', -offset
	}
	// PostgreSQL shows such a zone in POSIX form, whose sign is the other way round.
	posix := map[rune]rune{'+': '-', '-': '+'}[sign]
	text := fmt.Sprintf("<%c%02d>%c%02d", sign, a/3600, posix, a/3600)
	if a%3600 != 0 {
		text = fmt.Sprintf("<%c%02d:%02d>%c%02d:%02d", sign, a/3600, a/60%60, posix, a/3600, a/60%60)
	}
	return time.FixedZone(text, offset), nil
}
