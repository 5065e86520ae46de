package engines

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestURL reads URLs back as a client does whose PG* variables name another server.
func TestURL(t *testing.T) {
	for _, name := range os.Environ() {
		if name, _, _ = strings.Cut(name, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("PGPORT", "1")
	t.Setenv("PGHOST", "nowhere")
	t.Setenv("PGUSER", "nobody")
	t.Setenv("PGDATABASE", "none")
	for _, tt := range []struct {
		info     Info
		database string
		want     string
		host     string
		port     uint16
	}{
		{Info{Socket: "/run/a b", Port: 5432, User: "u", Database: "d"}, "", "postgresql://u@/d?host=%2Frun%2Fa%20b&port=5432&sslmode=disable", "/run/a b", 5432},
		{Info{Socket: "/run", Port: 5433, User: "u", Database: "d"}, "e", "postgresql://u@/e?host=%2Frun&port=5433&sslmode=disable", "/run", 5433},
		{Info{Socket: "/run", Port: 5432, TCP: "127.0.0.1:5", User: "u", Database: "d"}, "", "postgresql://u@/d?host=%2Frun&port=5432&sslmode=disable", "/run", 5432},
		{Info{TCP: "127.0.0.1:5", User: "u", Database: "d"}, "", "postgresql://u@127.0.0.1:5/d?sslmode=disable", "127.0.0.1", 5},
		{Info{User: "u", Database: "d"}, "", "", "", 0},
	} {
		got := tt.info.URL(tt.database)
		if got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.info, got, tt.want)
		}
		if got == "" {
			continue
		}
		cfg, err := pgx.ParseConfig(got)
		if err != nil {
			t.Fatal(err)
		}
		if database := "d"; cfg.Host != tt.host || cfg.Port != tt.port || cfg.User != "u" || cfg.Database != database && cfg.Database != tt.database {
			t.Errorf("%s leads to %s port %d, user %s, database %s", got, cfg.Host, cfg.Port, cfg.User, cfg.Database)
		}
	}
}
