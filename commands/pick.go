package commands

import (
	"strings"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/config/spell"
)

// pick returns the settings whose key is key or lies under it; all for "".
func pick(settings []config.Setting, key string) ([]config.Setting, error) {
	if key == "" {
		return settings, nil
	}
	var out []config.Setting
	var known []string
	for _, s := range settings {
		if s.Key == key || strings.HasPrefix(s.Key, key+".") {
			out = append(out, s)
		}
		known = append(known, s.Key)
		if section, _, ok := strings.Cut(s.Key, "."); ok {
			known = append(known, section)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	if near := spell.Nearest(key, known); near != "" {
		return nil, usageError("no key %s; did you mean %s?", key, near)
	}
	return nil, usageError("no key %s; \"pgx-dev config show\" lists them all", key)
}
