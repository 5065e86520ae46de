package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/pgx-dev/pgx-dev"

// A floor says what the packages under a path must not import. Imports run downhill:
//
//	main -> commands -> config -> lease -> engines -> wire
//	                 \------------------> proxy -----^
type floor struct {
	pkg    string   // "" is main; "x" is x and everything under it; "x!" is x alone
	except []string // packages under pkg to which the rule does not apply
	banned []string // the same forms; paths of other modules in full
	reason string
}

func floors() []floor {
	const (
		kong      = "github.com/alecthomas/kong"
		lipgloss  = "github.com/charmbracelet/lipgloss"
		termenv   = "github.com/muesli/termenv"
		wazero    = "github.com/tetratelabs/wazero"
		flock     = "github.com/gofrs/flock"
		toml      = "github.com/BurntSushi/toml"
		pgproto3  = "github.com/jackc/pgx/v5/pgproto3"
		sqlite    = "modernc.org/sqlite"
		goLDAP    = "github.com/go-ldap/ldap/v3"
		sqlParser = "github.com/multigres/multigres"
	)
	return []floor{
		{"!", nil, []string{"config", "lease", "engines", "proxy", "wire"}, "main only calls commands.Main"},
		{"config", nil, []string{"commands"}, "the configuration knows no command line"},
		{"lease", []string{"lease/leasetest"}, []string{"commands", "config", "proxy"}, "leases stand on engines alone"},
		{"lease/leasetest", nil, []string{"commands"}, "the test helper is a library, not a command"},
		{"engines", nil, []string{"commands", "config", "lease", "proxy"}, "an engine knows nothing of its users"},
		{"engines!", nil, []string{"engines/native", "engines/wasm", "engines/cluster"}, "the seam knows no engine"},
		{"engines/cluster", nil, []string{"engines/native", "engines/wasm"}, "sharing works alike for every engine"},
		{"engines/native", nil, []string{"engines/wasm", "engines/cluster"}, "an engine knows no other and no sharing"},
		{"engines/wasm", nil, []string{"engines/native", "engines/cluster"}, "an engine knows no other and no sharing"},
		{"proxy", nil, []string{"commands", "config", "lease", "engines"}, "the proxy takes backends as a Dial function"},
		{"proxy/route", nil, []string{"net!", "net/http", "proxy/pool", "proxy/merge"}, "routing is pure: SQL and state in, a plan out"},
		{"proxy/merge", nil, []string{"net!", "net/http", "proxy/pool", "proxy/route"}, "merging is pure: streams in, a stream out"},
		{"wire", nil, []string{"commands", "config", "lease", "engines", "proxy"}, "the ground floor imports none of ours"},
		{"wire", nil, []string{pgproto3}, "the codec is our own; pgproto3 only checks it in tests"},
		{"", []string{"commands"}, []string{kong, lipgloss, termenv, sqlite}, "the command line's libraries stay in commands"},
		{"commands", []string{"commands/ui"}, []string{lipgloss, termenv}, "how things look is the business of commands/ui"},
		{"", []string{"engines/wasm", "proxy/plugin"}, []string{wazero}, "WebAssembly is run by the wasm engine and routing plugins only"},
		{"", []string{"engines/dirlock", "engines/native", "engines/wasm"}, []string{flock}, "locks go through dirlock"},
		{"", []string{"config"}, []string{toml}, "files are decoded in one place"},
		{"", []string{"wire/auth/ldap"}, []string{goLDAP}, "directories are asked in one place"},
		{"", []string{"proxy/route", "proxy/reshard"}, []string{sqlParser}, "SQL is parsed to route it, nowhere else"},
	}
}

// under reports whether the package pkg is covered by pattern; both without the module.
func under(pkg, pattern string) bool {
	if exact, ok := strings.CutSuffix(pattern, "!"); ok {
		return pkg == exact
	}
	return pattern == "" || pkg == pattern || strings.HasPrefix(pkg, pattern+"/")
}

func anyUnder(pkg string, patterns []string) bool {
	for _, p := range patterns {
		if under(pkg, p) {
			return true
		}
	}
	return false
}

// relative takes the module's path off ours.
func relative(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

// TestImports holds the import table. Tests may import what they like.
func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		path := relative(pkg.ImportPath)
		seen[path] = true
		for _, f := range floors() {
			if !under(path, f.pkg) || anyUnder(path, f.except) {
				continue
			}
			for _, imp := range pkg.Imports {
				imp := relative(imp)
				if anyUnder(imp, f.banned) && !under(imp, path+"!") {
					t.Errorf("%s imports %s: %s", pkg.ImportPath, imp, f.reason)
				}
			}
		}
	}
	for _, path := range []string{"", "commands", "config", "engines"} {
		if !seen[path] {
			t.Errorf("go list did not name %s/%s: the test looks at the wrong thing", module, path)
		}
	}
}

// TestImportRules tries the table's matching on imports that must be refused.
func TestImportRules(t *testing.T) {
	for _, tt := range []struct {
		pkg, imp string
		refused  bool
	}{
		{"proxy", "engines", true},
		{"proxy/pool", "engines/native", true},
		{"proxy/route", "net", true},
		{"proxy/route", "net/netip", false},
		{"proxy/pool", "net", false},
		{"wire", "engines", true},
		{"wire/auth", "wire", false},
		{"engines/cluster", "engines/native", true},
		{"engines/cluster", "engines", false},
		{"engines", "engines/cluster", true},
		{"engines/native", "github.com/alecthomas/kong", true},
		{"commands", "github.com/alecthomas/kong", false},
		{"commands", "github.com/charmbracelet/lipgloss", true},
		{"commands/ui", "github.com/charmbracelet/lipgloss", false},
		{"", "commands", false},
		{"", "config", true},
		{"lease/leasetest", "config", false},
		{"lease", "config", true},
	} {
		refused := false
		for _, f := range floors() {
			if under(tt.pkg, f.pkg) && !anyUnder(tt.pkg, f.except) && anyUnder(tt.imp, f.banned) {
				refused = true
			}
		}
		if refused != tt.refused {
			t.Errorf("%q importing %q: refused is %v, want %v", tt.pkg, tt.imp, refused, tt.refused)
		}
	}
}
