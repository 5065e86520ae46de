package fleet_test

import (
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
)

// TestRewritesThatWouldLoseRows are refused before anybody comes.
func TestRewritesThatWouldLoseRows(t *testing.T) {
	tests := []struct {
		name string
		set  conf.Rewrite
		want string
	}{
		{"off", conf.Rewrite{ShardKey: conf.RewriteIgnore}, ""},
		{"good", conf.Rewrite{Enabled: true, ShardKey: conf.RewriteRewrite, SplitInserts: conf.RewriteError, PrimaryKey: conf.RewriteOmni}, ""},
		{"shard key", conf.Rewrite{Enabled: true, ShardKey: conf.RewriteIgnore}, "rewrite.shard_key"},
		{"split", conf.Rewrite{Enabled: true, SplitInserts: conf.RewriteIgnore}, "rewrite.split_inserts"},
		{"omni", conf.Rewrite{Enabled: true, SplitInserts: conf.RewriteOmni}, "rewrite_omni"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := conf.DefaultConfig()
			c.Rewrite = tt.set
			_, err := fleet.FromConfig(&c)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestUniqueIDKeys reads the node's number and the layout.
func TestUniqueIDKeys(t *testing.T) {
	for _, tt := range []struct {
		node, function string
		want           int
		bad            bool
	}{
		{"", "standard", 0, false},
		{"pgdog-prod-3", "standard", 3, false},
		{"x-1023", "standard", 1023, false},
		{"x-1024", "standard", 0, true},
		{"x-64", "compact", 0, true},
		{"noname", "standard", 0, true},
	} {
		t.Setenv("NODE_ID", tt.node)
		g := conf.DefaultConfig().General
		g.UniqueIDFunction = conf.UniqueIDFunction(tt.function)
		got, err := fleet.IDsOf(&g)
		if (err != nil) != tt.bad || err == nil && got.Node != tt.want {
			t.Errorf("%+v: %v %v", tt, got, err)
		}
	}
}
