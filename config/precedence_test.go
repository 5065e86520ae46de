package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPrecedence sets a key of each kind in the file, the environment and by a flag, and
// takes them away again from the strongest on.
func TestPrecedence(t *testing.T) {
	yes := true
	no := false
	for _, tt := range []struct {
		name           string
		file, env, set string // the value in each; env's variable is derived from the key
		key            string
		get            func(*Config) any
		def            any
		wantFile       any
		wantEnv        any
		wantFlag       any
	}{
		{
			"string", "[cluster]\npg = \"15\"", "16", "17", "cluster.pg",
			func(c *Config) any { return c.File.Cluster.PG }, "", "15", "16", "17",
		},
		{
			"bool with default true", "[runtime]\nauto = false", "true", "false", "runtime.auto",
			func(c *Config) any { return c.Runtime.Auto }, true, false, true, false,
		},
		{
			"pointer to bool", "[cluster]\nfast = true", "false", "true", "cluster.fast",
			func(c *Config) any { return c.File.Cluster.Fast }, (*bool)(nil), &yes, &no, &yes,
		},
		{
			"int", "[cluster]\nport = 5", "6", "7", "cluster.port",
			func(c *Config) any { return c.File.Cluster.Port }, 0, 5, 6, 7,
		},
		{
			"duration", "[cluster]\nidle = \"1m30s\"", "2m", "3h", "cluster.idle",
			func(c *Config) any { return c.File.Cluster.Idle }, time.Duration(0), 90 * time.Second, 2 * time.Minute, 3 * time.Hour,
		},
		{
			"list is replaced", "[runtime]\nbindirs = [\"/a\", \"/b\"]", "/c,/d", "[\"/e,f\"]", "runtime.bindirs",
			func(c *Config) any { return c.Runtime.Bindirs }, []string(nil),
			[]string{"/a", "/b"},
			[]string{"/c", "/d"},
			[]string{"/e,f"},
		},
		{
			"table is merged", "[cluster.settings]\na = \"1\"\nb = 2", "b=3,c=4", `{c = "5,6"}`, "cluster.settings",
			func(c *Config) any { return c.File.Cluster.Settings },
			map[string]string(nil),
			map[string]string{"a": "1", "b": "2"},
			map[string]string{"a": "1", "b": "3", "c": "4"},
			map[string]string{"a": "1", "b": "3", "c": "5,6"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, msg := resolve(typeOfFile(), splitKey(tt.key))
			if msg != "" {
				t.Fatal(msg)
			}
			env := map[string]string{envName(path): tt.env}
			set := []string{tt.key + "=" + tt.set}
			for _, step := range []struct {
				layers string
				src    string
				env    map[string]string
				set    []string
				want   any
			}{
				{"nothing", "", nil, nil, tt.def},
				{"file", tt.file, nil, nil, tt.wantFile},
				{"file and environment", tt.file, env, nil, tt.wantEnv},
				{"file, environment and flag", tt.file, env, set, tt.wantFlag},
			} {
				c, err := tryLoad(t, step.src, step.env, step.set)
				if err != nil {
					t.Fatalf("%s: %v", step.layers, err)
				}
				if got := tt.get(c); !cmp.Equal(got, step.want) {
					t.Errorf("%s: got %v, want %v", step.layers, got, step.want)
				}
			}
		})
	}
}

// TestSeedNames checks that PGDATABASE counts, but less than our own variable, and that an
// empty variable counts as unset.
func TestSeedNames(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
		from string
	}{
		{map[string]string{"PGDATABASE": "seed"}, "seed", "$PGDATABASE"},
		{map[string]string{"PGDATABASE": "seed", "PGX_DEV_CLUSTER_DATABASE": "own"}, "own", "$PGX_DEV_CLUSTER_DATABASE"},
		{map[string]string{"PGDATABASE": ""}, "file", "pgx-dev.toml:2"},
	} {
		c, err := tryLoad(t, "[cluster]\ndatabase = \"file\"", tt.env, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.File.Cluster.Database; got != tt.want {
			t.Errorf("%v: database is %q, want %q", tt.env, got, tt.want)
		}
		if got := originOf(c, "cluster.database"); got != tt.from {
			t.Errorf("%v: database is from %s, want %s", tt.env, got, tt.from)
		}
	}
}

// TestNamedClusters checks that [clusters.NAME] overlays [cluster] key by key, and that the
// environment and flags lie over both.
func TestNamedClusters(t *testing.T) {
	const src = `
[cluster]
pg = "15"
port = 6000
settings = {work_mem = "1MB", jit = "off"}
[clusters.main]
pg = "16"
settings = {work_mem = "2MB"}
[clusters."odd name"]
tcp = true
`
	c, err := tryLoad(t, src, map[string]string{
		"PGX_DEV_CLUSTERS_MAIN_DATABASE":  "app",
		"PGX_DEV_CLUSTERS_OTHER_DATABASE": "elsewhere",
	}, []string{"cluster.port=7000", "clusters.flagged.tcp=true"})
	if err != nil {
		t.Fatal(err)
	}
	main, err := c.Cluster("main")
	if err != nil {
		t.Fatal(err)
	}
	if main.PG != "16" || main.Port != 7000 || main.Database != "app" || main.TCP {
		t.Errorf("main is %+v", main)
	}
	if want := map[string]string{"work_mem": "2MB", "jit": "off"}; !cmp.Equal(main.Settings, want) {
		t.Errorf("main's settings are %v, want %v", main.Settings, want)
	}
	if got := c.File.Cluster.Settings["work_mem"]; got != "1MB" {
		t.Errorf("[cluster] itself has work_mem %q", got)
	}
	other, err := c.Cluster("other") // not in the file at all
	if err != nil {
		t.Fatal(err)
	}
	if other.PG != "15" || other.Database != "elsewhere" {
		t.Errorf("other is %+v", other)
	}
	if cfg, ok := c.Clusters["odd name"]; !ok || !cfg.TCP || cfg.PG != "15" {
		t.Errorf("odd name is %+v, %v", cfg, ok)
	}
	if cfg := c.Clusters["flagged"]; !cfg.TCP || cfg.Port != 7000 {
		t.Errorf("flagged is %+v", cfg)
	}
	for key, want := range map[string]string{
		"clusters.main.pg":                "pgx-dev.toml:7",
		"clusters.main.settings.work_mem": "pgx-dev.toml:8",
		"clusters.main.database":          "$PGX_DEV_CLUSTERS_MAIN_DATABASE",
		`clusters."odd name".tcp`:         "pgx-dev.toml:10",
		"clusters.flagged.tcp":            "-o clusters.flagged.tcp",
		"cluster.port":                    "-o cluster.port",
	} {
		if got := originOf(c, key); got != want {
			t.Errorf("%s is from %q, want %q", key, got, want)
		}
	}
}

func originOf(c *Config, key string) string {
	for _, s := range c.Settings() {
		if s.Key == key {
			return s.Origin
		}
	}
	return "nowhere"
}
