package lease_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/lease"
)

// TestPoolConfig holds what a pool may be told, and what is said of the rest.
func TestPoolConfig(t *testing.T) {
	tests := []struct {
		name string
		cfg  lease.PoolConfig
		want string // a part of the error, "" for none
	}{
		{"nothing", lease.PoolConfig{}, ""},
		{"as long a name as there may be", lease.PoolConfig{Engine: "none", Prefix: strings.Repeat("a", 62)}, ""},
		{"a longer name", lease.PoolConfig{Engine: "none", Prefix: strings.Repeat("a", 62), Count: new(11)}, "63 bytes"},
		{"a database's name", lease.PoolConfig{Prefix: strings.Repeat("a", 43)}, ""},
		{"a longer one", lease.PoolConfig{Prefix: strings.Repeat("a", 44)}, "63 bytes"},
		{"blanks, quotes, umlauts", lease.PoolConfig{Engine: "none", Prefix: `a "b"; ü`}, ""},
		{"a line's end", lease.PoolConfig{Engine: "none", Prefix: "a\nb"}, "control characters"},
		{"no UTF-8", lease.PoolConfig{Prefix: "a\xff"}, "UTF-8"},
		{"no names", lease.PoolConfig{Engine: "none", Count: new(0)}, ""},
		{"fewer", lease.PoolConfig{Engine: "none", Count: new(-1)}, "count -1"},
		{"two servers", lease.PoolConfig{URL: "postgresql://x", Cluster: "main"}, "url names a server"},
		{"names with a template", lease.PoolConfig{Engine: "none", Dump: "x"}, "names only"},
		{"a policy that is none", lease.PoolConfig{Reset: "drop"}, "there are [none recreate"},
		{"before now", lease.PoolConfig{TTL: -time.Second}, "negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := lease.Config{Pools: []lease.PoolConfig{tt.cfg}}.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
