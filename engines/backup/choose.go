package backup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Target says up to where to restore. The zero value is all that is archived. At most
// one of Time, Name and LSN may be set.
type Target struct {
	Time time.Time // recovery_target_time
	Name string    // recovery_target_name: what pg_create_restore_point was given
	LSN  string    // recovery_target_lsn
	// Base is the number of the base backup to begin with. Default: the newest one that
	// was complete before Time or LSN, and for Name the newest from which recovery meets it.
	Base int
}

// String says what the target is, for messages.
func (t Target) String() string {
	switch {
	case !t.Time.IsZero():
		return "the time " + t.Time.Format(time.RFC3339Nano)
	case t.Name != "":
		return fmt.Sprintf("the restore point %q", t.Name)
	case t.LSN != "":
		return "position " + t.LSN
	}
	return "the end of the archive"
}

func (t Target) check() error {
	set := 0
	for _, is := range []bool{!t.Time.IsZero(), t.Name != "", t.LSN != ""} {
		if is {
			set++
		}
	}
	if set > 1 {
		return errors.New("give one target: a time, a name or an LSN")
	}
	if t.LSN == "" {
		return nil
	}
	_, err := wire.ParseLSN(t.LSN)
	return err
}

// candidates returns the base backups to begin with, the best first: recovery cannot end
// before the end of its base backup. Where a restore point lies is not known beforehand,
// so for a name it is all of them, the newest first.
func candidates(from string, target Target) ([]Base, error) {
	if err := target.check(); err != nil {
		return nil, err
	}
	bases, err := List(from)
	if err != nil {
		return nil, err
	}
	if len(bases) == 0 {
		return nil, fmt.Errorf("there is no base backup in %s", from)
	}
	slices.Reverse(bases)
	if target.Base != 0 {
		i := slices.IndexFunc(bases, func(b Base) bool { return b.Number == target.Base })
		if i < 0 {
			return nil, fmt.Errorf("there is no base backup %d in %s; there are %s", target.Base, from, numbers(bases))
		}
		return bases[i : i+1], nil
	}
	if target.Name != "" {
		return bases, nil
	}
	for i, b := range bases {
		before, err := b.before(target)
		if err != nil {
			return nil, err
		}
		if before {
			return bases[i : i+1], nil
		}
	}
	first := bases[len(bases)-1]
	at := first.End.Format(time.RFC3339Nano) // which is what a target is compared with
	if target.LSN != "" {
		at = "position " + first.EndLSN
	}
	return nil, fmt.Errorf("the first base backup in %s was complete at %s, after the target", from, at)
}

// before reports whether the base backup was complete before the target.
func (b Base) before(target Target) (bool, error) {
	switch {
	case !target.Time.IsZero():
		return !b.End.After(target.Time), nil
	case target.LSN != "":
		want, err := wire.ParseLSN(target.LSN)
		if err != nil {
			return false, err
		}
		end, err := wire.ParseLSN(b.EndLSN)
		if err != nil {
			return false, fmt.Errorf("base backup %d says no position where it ends (choose one by its number): %w", b.Number, err)
		}
		return end <= want, nil
	}
	return true, nil
}

func numbers(bases []Base) string {
	var s []string
	for _, b := range bases {
		s = append(s, fmt.Sprint(b.Number))
	}
	return strings.Join(s, ", ")
}
