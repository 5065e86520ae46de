package lease_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/lease"
	"github.com/pgx-dev/pgx-dev/wire/wiretest/fetch"
)

// TestPgmanagerClient runs the client library of the crate pgmanager against our server.
// Where the crates registry cannot be reached, TestLegacyBytes holds the same bytes.
func TestPgmanagerClient(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "pgx-dev-test", "pgmanager-client-1")
	program := filepath.Join(dir, "target", "debug", "client")
	if _, err := os.Stat(program); err != nil {
		for name, text := range map[string]string{
			"Cargo.toml": "[package]\nname = \"client\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\npgmanager = \"=0.3.1\"\ntokio = { version = \"1\", features = [\"rt\", \"macros\", \"io-util\"] }\n",
			"src/main.rs": `#[tokio::main(flavor = "current_thread")]
async fn main() {
    let a = pgmanager::get_database().await;
    let b = pgmanager::get_database().await;
    println!("{a} {b}");
    drop(a);
    let c = pgmanager::get_database().await;
    println!("{c}");
}
`,
		} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := fetch.Run(t.Context(), dir, "cargo", "fetch"); err != nil {
			t.Logf("the crates registry cannot be reached: %v", err)
			return
		}
		build := exec.Command("cargo", "build")
		build.Dir = dir
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	s, path := serveNames(t, 2)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "PGM_SOCKET="+path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if want := "t_0 t_1\nt_0\n"; string(out) != want {
		t.Errorf("the client got %q, want %q", out, want)
	}
	await(t, s, "all back", func(st lease.PoolStatus) bool { return st.Ready == 2 })

	// What it does when there will be none: it panics with our reason.
	_, path = servePool(t, lease.NewPool(lease.PoolConfig{Engine: "none", Count: new(0), Wait: 1}, lease.NewNames("t_"), nil))
	cmd = exec.Command(program)
	cmd.Env = append(os.Environ(), "PGM_SOCKET="+path)
	out, err = cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panicked") {
		t.Errorf("refused, the client says %s", out)
	}
}
