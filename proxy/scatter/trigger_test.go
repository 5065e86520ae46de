package scatter_test

import (
	"fmt"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/route/routetest"
)

// TestTriggers has triggers that are about rows of their own shard, whose effects must be those on one
// server, and others, with which writes are refused.
func TestTriggers(t *testing.T) {
	srv := startServer(t)
	for _, n := range []int{2, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := newPair(t, srv, fmt.Sprintf("tg%d_", n), n)
			p.both(t, routetest.Schema)
			p.both(t, routetest.Rows()...)
			p.both(t, `CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
				DECLARE n int;
				BEGIN
					IF TG_OP = 'DELETE' THEN
						DELETE FROM payments WHERE user_id = OLD.id;
						RETURN OLD;
					END IF;
					SELECT count(*) INTO n FROM payments p WHERE p.user_id = NEW.id AND p.id > 0;
					INSERT INTO payments (id, user_id, n, note) VALUES (-1, NEW.id, n, NEW.email);
					UPDATE payments SET note = 'followed' WHERE user_id = NEW.id AND n = 2;
					RETURN NEW;
				END $$`,
				"CREATE TRIGGER follow AFTER INSERT OR UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION follow()",
				`CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$`,
				"CREATE TRIGGER tidy BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION tidy()")
			for _, sql := range []string{
				"INSERT INTO users (id, email) VALUES (9001, 'a'), (9002, 'b'), (9003, 'c') RETURNING id",
				"UPDATE users SET score = 1 WHERE country = 2",
				"DELETE FROM users WHERE country = 1",
				"MERGE INTO users u USING (VALUES (6, 'm'), (9100, 'n')) v(id, e) ON u.id = v.id WHEN MATCHED THEN UPDATE SET email = v.e WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.id, v.e)",
				"INSERT INTO users (id, email) SELECT id + 20000, note FROM payments WHERE id BETWEEN 0 AND 20",
			} {
				if why := p.compare(t, simpleMode, "a trigger", sql); why != "" {
					t.Error(why)
				}
				for _, table := range []string{"users", "payments"} {
					p.compare(t, simpleMode, table+" after "+sql, "SELECT * FROM "+table)
				}
			}
			if _, err := p.shards.Exec(t.Context(), `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO countries VALUES (NEW.id, 'told'); RETURN NEW; END $$;
				CREATE TRIGGER tell AFTER INSERT ON payments FOR EACH ROW EXECUTE FUNCTION tell()`).ReadAll(); err != nil {
				t.Fatal(err)
			}
			for sql, code := range map[string]string{
				"INSERT INTO payments (id, user_id) VALUES (1, 6)": "0A000", "COPY payments FROM STDIN": "0A000",
				"INSERT INTO users (id) VALUES (9500)":   "0A000", // whose trigger inserts a payment
				"DELETE FROM payments WHERE user_id = 6": "", "/* pgdog_shard: 0 */ INSERT INTO countries VALUES (700, 'by hand')": "",
			} {
				if _, err := p.shards.Exec(t.Context(), sql).ReadAll(); codeOf(err) != code {
					t.Errorf("%s: %v, want %q", sql, err, code)
				}
			}
		})
	}
}
