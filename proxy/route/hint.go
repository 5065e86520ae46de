package route

import (
	"errors"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A Hint is manual routing: by comment, by SET, or by a startup option.
type Hint struct {
	// Shard is the shard to use; -1 if none is named.
	Shard int
	// Key is a value of the sharding key, if HasKey.
	Key    string
	HasKey bool
	// Role is which server to use, if HasRole.
	Role    Role
	HasRole bool
}

// NoHint is the hint that says nothing.
func NoHint() Hint { return Hint{Shard: -1} }

// Set takes a setting: pgdog.shard, pgdog.sharding_key or pgdog.role, as SET, a startup
// option, or (with an underscore for the dot) a comment has it. An empty value takes the
// setting back. known is false for other names.
func (h *Hint) Set(name, value string) (known bool, err error) {
	value = strings.TrimSpace(value)
	if rest, comment := strings.CutPrefix(name, "pgdog_"); comment {
		name = "pgdog." + rest
	}
	switch name {
	case "pgdog.shard":
		h.Shard = -1
		if value == "" {
			return true, nil
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return true, wire.Errorf(wire.Code("22023"), "invalid value for %s: %q is no shard's number", name, value)
		}
		h.Shard = n
	case "pgdog.sharding_key":
		h.Key, h.HasKey = value, value != ""
	case "pgdog.role":
		h.HasRole = value != ""
		switch strings.ReplaceAll(value, "_", "-") {
		case "":
		case "primary":
			h.Role = Primary
		case "replica", "prefer-replica":
			h.Role = Replica
		case "prefer-primary":
			h.Role = PreferPrimary
		case "any":
			h.Role = AnyRole
		default:
			return true, wire.Errorf(wire.Code("22023"), "invalid value for %s: %q is none of primary, replica, prefer-primary, prefer-replica, any", name, value)
		}
	default:
		return false, nil
	}
	return true, nil
}

// Reset is h with a setting as base has it.
func (h Hint) Reset(name string, base Hint) Hint {
	switch name {
	case "pgdog.shard":
		h.Shard = base.Shard
	case "pgdog.sharding_key":
		h.Key, h.HasKey = base.Key, base.HasKey
	case "pgdog.role":
		h.Role, h.HasRole = base.Role, base.HasRole
	}
	return h
}

// Over is h with what is missing taken from below.
func (h Hint) Over(below Hint) Hint {
	if h.Shard < 0 && !h.HasKey {
		h.Shard, h.Key, h.HasKey = below.Shard, below.Key, below.HasKey
	}
	if !h.HasRole {
		h.Role, h.HasRole = below.Role, below.HasRole
	}
	return h
}

// parseHint reads the hints of a comment: pgdog_shard: 0, pgdog_sharding_key: "a b",
// pgdog_role: replica.
func parseHint(h *Hint, comment string) error {
	for _, name := range [...]string{"pgdog_shard", "pgdog_sharding_key", "pgdog_role"} {
		_, rest, found := strings.Cut(comment, name+":")
		if !found {
			continue
		}
		rest = strings.TrimLeft(rest, " \t")
		value := rest
		if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
			end := strings.IndexByte(rest[1:], rest[0])
			if end < 0 {
				return wire.Errorf(wire.Code("22023"), "invalid comment: the value of %s has no closing quote", name)
			}
			value = rest[1 : 1+end]
		} else if end := strings.IndexFunc(rest, func(r rune) bool {
			return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' || r == '.')
		}); end >= 0 {
			value = rest[:end]
		}
		if value == "" {
			return wire.Errorf(wire.Code("22023"), "invalid comment: %s has no value", name)
		}
		if _, err := h.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// place finds the shard of a sharding key that is given by hand. It must be the same for
// all keys that are configured and can have such a value.
func (h Hint) place(l *sharding.Layout, lookups sharding.Lookups) (int, error) {
	if h.Shard >= 0 {
		if h.Shard >= l.Shards {
			return 0, wire.Errorf(wire.Code("22023"), "there is no shard %d: they are 0 to %d", h.Shard, l.Shards-1)
		}
		return h.Shard, nil
	}
	shard := -1
	for i, k := range l.Keys() {
		if len(k.Columns) != 1 {
			continue
		}
		if i > 0 && k.Colocated(l.Keys()[0]) && shard >= 0 {
			continue
		}
		s, err := k.Place([]sharding.Raw{{Type: hash.Unknown, Bytes: []byte(h.Key)}}, lookups)
		if _, ok := errors.AsType[*sharding.NeedLookup](err); ok {
			return 0, err
		}
		switch {
		case err != nil:
			continue
		case shard >= 0 && s != shard:
			return 0, wire.Errorf(wire.Code("22023"), "sharding key %q is on shard %d for one table and on shard %d for another: name the shard instead", h.Key, shard, s)
		}
		shard = s
	}
	if shard < 0 {
		return 0, wire.Errorf(wire.Code("22023"), "%q is a value of no sharding key that is configured", h.Key)
	}
	return shard, nil
}
