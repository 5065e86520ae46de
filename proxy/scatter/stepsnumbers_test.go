package scatter_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// apart is a MERGE that goes in steps: what it joins by is not the key, and what it inserts has
// keys of their own.
const apart = `MERGE INTO users u USING (VALUES (1), (2), (3)) s(k) ON u.country = s.k
	WHEN MATCHED THEN %s WHEN NOT MATCHED THEN INSERT (id, email, country) VALUES (s.k * 100, 'merged', s.k)`

// TestMergeBesideOthers lets another session change the target before a MERGE in steps locks what
// it matches, and between its steps: no row of the source may come to nothing, and none may be
// both changed and inserted.
func TestMergeBesideOthers(t *testing.T) {
	f := newFleet(t, startServer(t), "mb", 3, nil)
	c, other := f.connect(), f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text, country int)")
	mustExec(t, other, "SET lock_timeout = '300ms'")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, action := range []string{"UPDATE SET email = 'merged'", "DELETE", "DO NOTHING", "UPDATE SET id = u.id + 1000, email = 'moved'"} {
		steps := []string{"FOR ", "MERGE INTO users", "ON false"}
		if strings.Contains(action, "id =") {
			steps[1] = "DELETE FROM users" // as all rows that are matched move
		}
		for _, between := range []struct{ name, sql string }{
			{"delete", "DELETE FROM users WHERE country = 1"},
			{"insert", "INSERT INTO users VALUES (77, 'other', 3)"},
			{"update away", "UPDATE users SET country = 9 WHERE country = 2"},
			{"update to", "UPDATE users SET country = 3 WHERE id = 50"},
		} {
			for _, step := range steps {
				t.Run(fmt.Sprintf("%s/%s/%s", action, between.name, step), func(t *testing.T) {
					mustExec(t, c, "TRUNCATE users; INSERT INTO users VALUES (10, 'old', 1), (20, 'old', 2), (21, 'old', 2), (50, 'old', 5)")
					var done error
					ran := false
					f.pool.before(func(text string) bool {
						if !strings.Contains(text, step) || strings.Contains(text, "WHEN NOT MATCHED") && step != "ON false" {
							return false
						}
						_, done = other.Exec(ctx, between.sql)
						ran = true
						return true
					})
					tag, err := c.Exec(ctx, fmt.Sprintf(apart, action))
					f.pool.before(nil)
					if err != nil || done != nil && codeOf(done) != "55P03" {
						t.Fatalf("MERGE: %v, the other: %v", err, done)
					}
					if !ran {
						if action == "DO NOTHING" && step != "ON false" {
							return // it has no such step
						}
						t.Fatal("there was no such step")
					}
					// What one server may have: the other's change was before all of it, or after.
					have := rowsOf(t, c)
					var allowed []string
					for _, first := range []bool{true, false} {
						allowed = append(allowed, serially(t, f, c, fmt.Sprintf(apart, action), between.sql, first, done == nil))
					}
					if have != allowed[0] && have != allowed[1] {
						t.Errorf("rows %s (%s), one server would have %s or %s; the other had %v", have, tag, allowed[0], allowed[1], done)
					}
				})
			}
		}
	}
}

// serially is what is in users after both, one after the other.
func serially(t *testing.T, f *fleet, c *pgx.Conn, merge, other string, first, done bool) string {
	t.Helper()
	mustExec(t, c, "TRUNCATE users; INSERT INTO users VALUES (10, 'old', 1), (20, 'old', 2), (21, 'old', 2), (50, 'old', 5)")
	list := []string{merge, other}
	if first {
		list = []string{other, merge}
	}
	for _, sql := range list {
		if sql != other || done {
			mustExec(t, c, sql)
		}
	}
	return rowsOf(t, c)
}

func rowsOf(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	return one[string](t, c, "SELECT coalesce(string_agg(id || email || country, ' ' ORDER BY id), '') FROM users")
}

// TestMergeWaits lets a MERGE in steps wait for another session that has deleted what it matches.
func TestMergeWaits(t *testing.T) {
	f := newFleet(t, startServer(t), "mw", 3, nil)
	c, other := f.connect(), f.connect()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text, country int)")
	for _, x := range []struct{ isolation, end, want, code string }{
		{"READ COMMITTED", "COMMIT", "20merged2 21merged2 100merged1 300merged3", ""},
		{"READ COMMITTED", "ROLLBACK", "10merged1 20merged2 21merged2 300merged3", ""},
		{"REPEATABLE READ", "COMMIT", "20old2 21old2", "40001"},
		{"REPEATABLE READ", "ROLLBACK", "10merged1 20merged2 21merged2 300merged3", ""},
	} {
		t.Run(x.isolation+"/"+x.end, func(t *testing.T) {
			mustExec(t, c, "TRUNCATE users; INSERT INTO users VALUES (10, 'old', 1), (20, 'old', 2), (21, 'old', 2)")
			mustExec(t, other, "BEGIN; DELETE FROM users WHERE id = 10")
			mustExec(t, c, "BEGIN ISOLATION LEVEL "+x.isolation)
			result := make(chan error, 1)
			go func() {
				_, err := c.Exec(ctx, fmt.Sprintf(apart, "UPDATE SET email = 'merged'"))
				result <- err
			}()
			watch := f.direct(0)
			for one[int](t, watch, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0 {
				select {
				case err := <-result:
					t.Fatalf("it has not waited: %v", err)
				case <-ctx.Done():
					t.Fatal("it does not wait for the other")
				case <-time.After(time.Millisecond):
				}
			}
			mustExec(t, other, x.end)
			if err := <-result; codeOf(err) != x.code {
				t.Fatalf("%v, want %q", err, x.code)
			}
			mustExec(t, c, "COMMIT")
			if have := rowsOf(t, c); have != x.want {
				t.Errorf("rows %s, want %s", have, x.want)
			}
		})
	}
}

// TestMergeSecured asks for a MERGE that would have to lock rows that a policy may hide.
func TestMergeSecured(t *testing.T) {
	f := newFleet(t, startServer(t), "ms", 2, nil)
	c := f.connect()
	mustExec(t, c, "CREATE TABLE users (id bigint PRIMARY KEY, email text, country int); ALTER TABLE users ENABLE ROW LEVEL SECURITY")
	for action, code := range map[string]string{"UPDATE SET email = 'merged'": "0A000", "DELETE": "0A000", "DO NOTHING": ""} {
		if _, err := c.Exec(t.Context(), fmt.Sprintf(apart, action)); codeOf(err) != code {
			t.Errorf("%s: %v, want %q", action, err, code)
		}
	}
}
