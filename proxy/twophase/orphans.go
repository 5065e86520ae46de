package twophase

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Connect connects to a shard's primary.
type Connect func(ctx context.Context, shard int) (Server, error)

// An Orphan is a transaction that is prepared on shards: of a log that is lost, of a proxy that
// is not running or of one that is, or made by hand.
type Orphan struct {
	// Name is what all its parts share, or the whole name of what no proxy has prepared.
	Name string
	// Instance is the log's that it belongs to, empty if it is no proxy's.
	Instance string
	// Members are the shards that took part, as far as the name tells; Prepared those where it
	// is prepared still.
	Members, Prepared []int
	// Since is when it was prepared, as the first server writes it, and Owner who did.
	Since, Owner string
}

// Missing are the shards that took part, and where it is not prepared any more: they have
// carried it out or taken it back, or have never prepared it.
func (o *Orphan) Missing() []int {
	return slices.DeleteFunc(slices.Clone(o.Members), func(s int) bool { return slices.Contains(o.Prepared, s) })
}

// memberText is a set of shards as bits of a hexadecimal number.
func memberText(shards []int) string {
	var n big.Int
	for _, s := range shards {
		n.SetBit(&n, s, 1)
	}
	return n.Text(16)
}

// members reads memberText.
func members(text string) (out []int) {
	n, ok := new(big.Int).SetString(text, 16)
	if !ok || n.Sign() <= 0 || n.BitLen() > 256 {
		return nil
	}
	for i := range n.BitLen() {
		if n.Bit(i) == 1 {
			out = append(out, i)
		}
	}
	return out
}

// parse takes a prepared transaction's name on a shard apart. ok is false for what is no
// proxy's, or another shard's, in the same database by mistake.
func parse(gid string, shard int) (name, instance string, list []int, ok bool) {
	name, ok = strings.CutSuffix(gid, "_"+strconv.Itoa(shard))
	fields := strings.Split(name, "_")
	if !ok || len(fields) < 4 || fields[0] != "pgx" || len(fields[1]) != 16 {
		return gid, "", nil, false
	}
	if _, err := hex.DecodeString(fields[1]); err != nil {
		return gid, "", nil, false
	}
	if len(fields) == 5 {
		list = members(fields[4])
	}
	return name, fields[1], list, true
}

// Left lists the transactions that are prepared on shards, the oldest first. The error names
// the shards that could not be asked; what the others have is returned nevertheless.
func Left(ctx context.Context, shards int, connect Connect) ([]Orphan, error) {
	found := map[string]*Orphan{}
	var errs []error
	for shard := range shards {
		err := prepared(ctx, shard, connect, func(gid, owner, since string) {
			name, instance, list, ok := parse(gid, shard)
			if !ok {
				name = gid
			}
			o := found[name]
			if o == nil {
				o = &Orphan{Name: name, Instance: instance, Members: list, Since: since, Owner: owner}
				found[name] = o
			}
			o.Prepared = append(o.Prepared, shard)
			o.Since = min(o.Since, since)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("shard %d: %w", shard, err))
		}
	}
	out := make([]Orphan, 0, len(found))
	for _, o := range found {
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b Orphan) int {
		return cmp.Or(strings.Compare(a.Since, b.Since), strings.Compare(a.Name, b.Name))
	})
	return out, errors.Join(errs...)
}

// prepared asks a shard what is prepared in its database.
func prepared(ctx context.Context, shard int, connect Connect, row func(gid, owner, since string)) error {
	srv, err := connect(ctx, shard)
	if err != nil {
		return err
	}
	defer srv.Close()
	return srv.Query(ctx, "SELECT gid, owner, to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()",
		func(c [][]byte) error {
			row(string(c[0]), string(c[1]), string(c[2]))
			return nil
		})
}

// Settle commits a transaction, or rolls it back, wherever it is prepared, and returns the
// shards where it has. One that somebody else has settled meanwhile is no error.
func Settle(ctx context.Context, o *Orphan, commit bool, connect Connect) (done []int, err error) {
	verb := "ROLLBACK PREPARED"
	if commit {
		verb = "COMMIT PREPARED"
	}
	var errs []error
	for _, shard := range o.Prepared {
		name := o.Name
		if o.Instance != "" {
			name = GID(o.Name, shard)
		}
		err := func() error {
			srv, err := connect(ctx, shard)
			if err != nil {
				return err
			}
			defer srv.Close()
			return srv.Query(ctx, verb+" "+literal(name), func([][]byte) error { return nil })
		}()
		if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.CodeUndefinedObject {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("shard %d: %s: %w", shard, verb, err))
			continue
		}
		done = append(done, shard)
	}
	return done, errors.Join(errs...)
}

func literal(s string) string {
	return "E'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
}

// InstanceOf returns the name of the log in a directory, and whether a proxy has it open.
// There need be no log: then the error is fs.ErrNotExist.
func InstanceOf(dir string) (name string, open bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, instanceFile))
	if err != nil {
		return "", false, err
	}
	f, err := lockDir(filepath.Join(dir, lockFile))
	if errors.Is(err, errInUse) {
		return strings.TrimSpace(string(b)), true, nil
	}
	if err != nil {
		return "", false, err
	}
	return strings.TrimSpace(string(b)), false, f.Close()
}
