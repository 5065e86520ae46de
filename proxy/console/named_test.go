package console

import (
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/balance"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

func TestNamed(t *testing.T) {
	tests := []struct {
		which, name string
		want        bool
	}{
		{"10.0.0.1:5432", "10.0.0.1:5432", true},
		{"DB.example:5432", "db.example:5432", true},
		{"::1:5432", "[::1]:5432", true},
		{"[::1]:5432", "[::1]:5432", true},
		{"10.0.0.1:5433", "10.0.0.1:5432", false},
		{"10.0.0.1", "10.0.0.1:5432", false},
		{"/tmp/pg:5432", "/tmp/pg/.s.PGSQL.5432", true},
		{"/tmp/pg/:5432", "/tmp/pg/.s.PGSQL.5432", true},
		{"/tmp/pg/.s.PGSQL.5432", "/tmp/pg/.s.PGSQL.5432", true},
		{"/tmp/pg:5433", "/tmp/pg/.s.PGSQL.5432", false},
		{"/tmp/PG:5432", "/tmp/pg/.s.PGSQL.5432", false},
		{"/tmp/pg", "/tmp/pg/.s.PGSQL.5432", false},
		{"a:0", "a", true}, // of a server that has no address
		{"a", "a", true},
	}
	for _, tt := range tests {
		if got := named(tt.which, tt.name); got != tt.want {
			t.Errorf("%s, %s: %v", tt.which, tt.name, got)
		}
	}
	if host, port := hostPort("/tmp/pg/.s.PGSQL.5433"); host != "/tmp/pg" || port != 5433 {
		t.Error(host, port)
	}
}

// TestRole has who was the primary, and is down since another one is, not shown as one of two.
func TestRole(t *testing.T) {
	tests := []struct {
		conf, seen conf.Role
		primary    bool
		want       string
	}{
		{conf.Auto, conf.Primary, true, "primary"},
		{conf.Auto, conf.Primary, false, "auto"},
		{conf.Auto, conf.Replica, false, "replica"},
		{conf.Auto, conf.Auto, false, "auto"},
		{conf.Primary, conf.Primary, true, "primary"},
	}
	for _, tt := range tests {
		l := &fleet.Listed{Server: fleet.Server{ConfRole: tt.conf}, State: &balance.State{Role: tt.seen, Primary: tt.primary}}
		if got := role(l); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
