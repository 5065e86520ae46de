package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/proxy/admin"
)

// recorded is what SHOW of PgBouncer 1.18 has for columns: a line each, "WHAT name:type …".
const recorded = "testdata/pgbouncer-1.18.txt"

// columns describes the answer to SHOW in the same way.
func columns(t *testing.T, c *pgx.Conn, what string) []string {
	t.Helper()
	r := c.PgConn().Exec(t.Context(), "SHOW "+what)
	var fields []pgconn.FieldDescription
	for r.NextResult() {
		fields = slices.Clone(r.ResultReader().FieldDescriptions())
		r.ResultReader().Read()
	}
	if err := r.Close(); err != nil {
		t.Fatalf("SHOW %s: %v", what, err)
	}
	names := map[uint32]string{pgtype.TextOID: "text", pgtype.Int4OID: "int4", pgtype.Int8OID: "int8", pgtype.NumericOID: "numeric", pgtype.ByteaOID: "bytea", pgtype.BoolOID: "bool"}
	var out []string
	for _, f := range fields {
		out = append(out, f.Name+":"+names[f.DataTypeOID])
	}
	return out
}

// TestBouncerColumns compares the console of the database "pgbouncer" with PgBouncer's, as it was
// recorded, and that, where there is a PgBouncer of that version, with what it says now.
func TestBouncerColumns(t *testing.T) {
	f := start(t)
	ours, err := f.connect("admin", admin.Bouncer)
	if err != nil {
		t.Fatal(err)
	}
	app, err := f.connect("postgres", "app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(recorded)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	want := map[string][]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		want[words[0]] = words[1:]
	}
	if len(want) < 18 {
		t.Fatalf("%d answers are recorded", len(want))
	}
	for what, list := range want {
		have := columns(t, ours, what)
		for _, c := range list {
			if !slices.Contains(have, c) {
				t.Errorf("SHOW %s lacks %s: it has %v", what, c, have)
			}
		}
	}
	// What newer versions have besides, by their documentation.
	for what, list := range map[string]string{
		"STATS":     "total_server_assignment_count total_client_parse_count total_server_parse_count total_bind_count avg_server_assignment_count avg_client_parse_count avg_server_parse_count avg_bind_count",
		"CLIENTS":   "replication prepared_statements id",
		"SERVERS":   "replication prepared_statements id",
		"POOLS":     "load_balance_hosts",
		"USERS":     "pool_size reserve_pool_size max_user_connections current_connections max_user_client_connections current_client_connections",
		"DATABASES": "reserve_pool_size server_lifetime load_balance_hosts max_client_connections current_client_connections",
		"STATE":     "key value",
		"PEERS":     "port",
	} {
		have := columns(t, ours, what)
		for name := range strings.FieldsSeq(list) {
			if !slices.ContainsFunc(have, func(c string) bool { return strings.HasPrefix(c, name+":") }) {
				t.Errorf("SHOW %s lacks %s: it has %v", what, name, have)
			}
		}
	}
	// The other database's are PgDog's.
	adm, err := f.connect("admin", "admin")
	if err != nil {
		t.Fatal(err)
	}
	if have := columns(t, adm, "POOLS"); !slices.Contains(have, "shard:int8") || slices.Contains(have, "sv_being_canceled:int4") {
		t.Errorf("SHOW POOLS of the admin database has %v", have)
	}

	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer"
	}
	version, err := exec.CommandContext(t.Context(), path, "--version").Output()
	if err != nil || !strings.HasPrefix(string(version), "PgBouncer 1.18.") {
		t.Logf("what is recorded is not compared with PgBouncer itself: %s %v", version, err)
		return
	}
	theirs := startPgBouncer(t, path)
	for what, list := range want {
		if have := columns(t, theirs, what); !slices.Equal(have, list) {
			t.Errorf("PgBouncer's SHOW %s has %v, and recorded is %v", what, have, list)
		}
	}
}

// startPgBouncer starts one without servers and returns a connection to its console.
func startPgBouncer(t *testing.T, path string) *pgx.Conn {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	ini, users := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users")
	text := fmt.Sprintf("[databases]\npostgres = host=127.0.0.1\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nauth_type = trust\nauth_file = %s\nunix_socket_dir =\nadmin_users = postgres\n", port, users)
	for name, text := range map[string]string{ini: text, users: "\"postgres\" \"\"\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(path, ini)
	if os.Getuid() == 0 { // which it refuses to run as
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	cfg, err := pgx.ParseConfig(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/pgbouncer?sslmode=disable", port))
	if err != nil {
		t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			t.Cleanup(func() { _ = c.Close(context.Background()) })
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestHolding has SUSPEND, MAINTENANCE and KILL hold clients, new pools' too, until they may go on.
func TestHolding(t *testing.T) {
	f := start(t)
	adm, err := f.connect("admin", "admin")
	if err != nil {
		t.Fatal(err)
	}
	do := func(sql string) {
		t.Helper()
		if _, err := adm.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	state := func() string {
		t.Helper()
		r, err := adm.PgConn().Exec(t.Context(), "SHOW STATE").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, row := range r[0].Rows {
			out = append(out, string(row[0])+"="+string(row[1]))
		}
		return strings.Join(out, " ")
	}
	app, err := f.connect("postgres", "app")
	if err != nil {
		t.Fatal(err)
	}
	for hold, release := range map[string]string{"SUSPEND": "RESUME", "MAINTENANCE ON": "MAINTENANCE OFF", "PAUSE": "RESUME"} {
		if _, err := app.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		do(hold)
		if s := state(); strings.HasPrefix(s, "active=yes") {
			t.Errorf("after %s: %s", hold, s)
		}
		done := make(chan error, 1)
		go func() {
			_, err := app.Exec(context.Background(), "SELECT 2")
			done <- err
		}()
		for waiting := false; !waiting; {
			r, err := adm.PgConn().Exec(t.Context(), "SHOW CLIENTS state").ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			waiting = len(r[0].Rows) == 1 && string(r[0].Rows[0][0]) == "waiting"
			select {
			case err := <-done:
				t.Fatalf("after %s a query ended: %v", hold, err)
			default:
			}
		}
		do(release)
		if err := <-done; err != nil {
			t.Errorf("after %s: %v", release, err)
		}
		if s := state(); !strings.HasPrefix(s, "active=yes") {
			t.Errorf("after %s: %s", release, s)
		}
	}
	do("KILL app")
	if _, err := app.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a client was not killed")
	}
	again := make(chan error, 1)
	go func() {
		c, err := f.connect("postgres", "app")
		if err == nil {
			_, err = c.Exec(context.Background(), "SELECT 1")
		}
		again <- err
	}()
	do("RESUME app")
	if err := <-again; err != nil {
		t.Errorf("who came after KILL: %v", err)
	}
	if _, err := adm.PgConn().Exec(t.Context(), "PROBE postgres://u@127.0.0.1:1/d").ReadAll(); err == nil || !strings.Contains(err.Error(), "PROBE") {
		t.Errorf("a server that is not there: %v", err)
	}
}
