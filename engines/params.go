package engines

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// chosen returns how to choose what a setting decides, for those that are not given in
// Spec.Params: the engine derives them from something else.
func chosen(name string) (how string, is bool) {
	switch strings.ToLower(name) {
	case "port", "listen_addresses":
		return "--tcp or Spec.TCP makes it listen", true
	case "data_directory":
		return "--dir or Spec.Dir names it", true
	case "unix_socket_directories", "unix_socket_directory":
		return "sockets are made in XDG_RUNTIME_DIR, Info.Socket tells where", true
	case "logging_collector", "log_destination":
		return "\"pgx-dev logs\" shows the log, Info.LogFile tells where it is", true
	}
	return "", false
}

// settingName matches a GUC name, with the prefix of an extension or without
// (valid_custom_variable_name in guc.c).
var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$`)

// CheckParams returns an error if params, meant for Spec.Params, hold what is no name of a
// setting of any version, or one that the engine chooses itself.
func CheckParams(params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name == "" {
			return fmt.Errorf("the value %q is without the name of its setting", params[name])
		}
		if !settingName.MatchString(name) {
			return fmt.Errorf("%q is not the name of a setting", name)
		}
		if how, is := chosen(name); is {
			return fmt.Errorf("setting %s cannot be given: %s", name, how)
		}
		if strings.ContainsRune(params[name], 0) {
			return fmt.Errorf("the value of setting %s has a zero byte", name)
		}
	}
	return nil
}
