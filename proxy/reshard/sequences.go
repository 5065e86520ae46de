package reshard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// sequencesSQL are the sequences that have been used, with their last value.
const sequencesSQL = `SELECT schemaname, sequencename, last_value, increment_by < 0 FROM pg_catalog.pg_sequences WHERE last_value IS NOT NULL AND schemaname <> '` + Schema + `'`

// sequences are the statements that have the destination's sequences go on where the furthest of the
// source's are.
func (s *SchemaSync) sequences(ctx context.Context) ([]Statement, error) {
	values := map[name]int64{}
	for i := range s.Source.Shards {
		err := func() error {
			conn, err := s.Source.Shards[i].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			rows, err := query(ctx, conn, sequencesSQL)
			if err != nil {
				return fmt.Errorf("read the sequences: %w", err)
			}
			for _, r := range rows {
				n, v := name{r.str(0), r.str(1)}, r.int(2)
				if have, ok := values[n]; ok && r.bool(3) {
					v = min(v, have)
				} else if ok {
					v = max(v, have)
				}
				values[n] = v
			}
			return nil
		}()
		if err != nil {
			return nil, fmt.Errorf("shard %d of %s (%s): %w", i, s.Source.Name, &s.Source.Shards[i], err)
		}
	}
	var out []Statement
	names := slices.SortedFunc(maps.Keys(values), func(a, b name) int { return compareNames(a, b) })
	for _, n := range names {
		out = append(out, Statement{
			Phase: Cutover, Kind: "sequence set", Schema: n.schema, Ob: n.table,
			SQL: fmt.Sprintf("SELECT pg_catalog.setval(%s, %d, true);", literal(n.String()), values[n]),
		})
	}
	return out, nil
}

func compareNames(a, b name) int {
	if a.schema != b.schema {
		if a.schema < b.schema {
			return -1
		}
		return 1
	}
	if a.table < b.table {
		return -1
	}
	return 1
}

// invalidSQL are the foreign keys that are not checked.
const invalidSQL = `SELECT n.nspname, c.relname, k.conname FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND NOT k.convalidated ORDER BY 1, 2, 3`

// validateFor is how long a foreign key may not hold: rows of several source shards come one shard after
// the other.
const validateFor = 10 * time.Second

// Validate checks the foreign keys of the destination, each shard for itself, without keeping anybody from
// the tables.
func (s *SchemaSync) Validate(ctx context.Context) error {
	var errs []error
	for d := range s.Destination.Shards {
		err := func() error {
			conn, err := s.Destination.Shards[d].connect(ctx)
			if err != nil {
				return err
			}
			defer shut(ctx, conn)
			rows, err := query(ctx, conn, invalidSQL)
			if err != nil {
				return err
			}
			for _, r := range rows {
				sql := fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", name{r.str(0), r.str(1)}, ident(r.str(2)))
				for began := time.Now(); ; {
					err := do(ctx, conn, sql)
					if err == nil {
						break
					}
					if code(err) != "23503" { // foreign_key_violation
						return err
					}
					if time.Since(began) > validateFor || pause(ctx, 200*time.Millisecond) != nil {
						return fmt.Errorf("the foreign key %s of table %s does not hold here: %w (tables that refer to each other have to be divided alike; drop the constraint on the destination, or divide them so)", r.str(2), name{r.str(0), r.str(1)}, err)
					}
				}
			}
			return nil
		}()
		if err != nil {
			errs = append(errs, fmt.Errorf("shard %d of %s (%s): %w", d, s.Destination.Name, &s.Destination.Shards[d], err))
		}
	}
	return errors.Join(errs...)
}
