package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
)

func TestPIDFile(t *testing.T) {
	const whole = "4711\n/data\n1600000000\n5433\n/tmp/s\nlocalhost\n  5432001  163840\nready   \n"
	tests := []struct {
		text string
		want pidFile
		ok   bool
	}{
		{whole, pidFile{4711, "/data", 5433, "/tmp/s", 163840, "ready"}, true},
		{"4711\n/data\n1600000000\n", pidFile{pid: 4711, dir: "/data"}, true},
		{"-4711\n/data\n", pidFile{pid: 4711, dir: "/data"}, true},
		{"4711", pidFile{pid: 4711}, true},
		{"", pidFile{}, false},
		{"0\n", pidFile{}, false},
		{"x\n", pidFile{}, false},
		{"47", pidFile{pid: 47}, true},
	}
	for _, tt := range tests {
		got, err := parsePIDFile(tt.text)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %+v, %v", tt.text, got, err)
		}
	}
}

func FuzzPIDFile(f *testing.F) {
	f.Add("4711\n/data\n1600000000\n5433\n/tmp/s\nlocalhost\n  5432001  163840\nready   \n")
	f.Add("-1\n")
	f.Add("99999999999999999999\n\n\n\n\n\n\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parsePIDFile(text); err == nil && got.pid == 0 {
			t.Errorf("%q: process 0", text)
		}
	})
}

func FuzzControlData(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 32))
	f.Add([]byte("\x01\x02\x03\x04\x05\x06\x07\x08\x14\x05\x00\x00\x75\xe0\x12\x0c\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x70\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseControlData(b, "f"); err == nil && strings.Contains(c.State.String(), "unrecognized") {
			t.Errorf("%x: state %d was taken", b, c.State)
		}
	})
}

func TestDirVersion(t *testing.T) {
	for text, want := range map[string]string{"15\n": "15", "9.6\n": "9.6", "18": "18", "15.4\n": "", "": "", "garbage": "", "9\n": ""} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := DirVersion(dir); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := DirVersion(t.TempDir()); !errors.Is(err, engines.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
}

func TestStartFailure(t *testing.T) {
	logFile := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(logFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const at = "2026-01-01 00:00:00.000 UTC [1] "
	tests := []struct {
		log          string
		is           error
		port, memory bool
		fatal        string
	}{
		{log: at + `FATAL:  lock file "postmaster.pid" already exists`, is: engines.ErrLocked, fatal: `lock file "postmaster.pid" already exists`},
		{
			log: at + "FATAL:  database files are incompatible with server\n" + at + "DETAIL:  The data directory was initialized by PostgreSQL version 14, which is not compatible with this version 15.4.",
			is:  engines.ErrVersion, fatal: "database files are incompatible with server",
		},
		{log: at + `FATAL:  could not write lock file "postmaster.pid": No space left on device`, is: syscall.ENOSPC, fatal: `could not write lock file "postmaster.pid": No space left on device`},
		{log: at + "LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use\n" + at + "FATAL:  could not create any TCP/IP sockets", port: true, fatal: "could not create any TCP/IP sockets"},
		{log: at + "LOG:  could not bind IPv4 socket: Address already in use", port: true},
		{log: at + "LOG:  could not bind IPv4 address \"127.0.0.1\": Permission denied"},
		{log: at + "LOG:  could not bind Unix address \"/x\": Address already in use"},
		{log: at + "FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use", memory: true, fatal: "pre-existing shared memory block (key 1, ID 2) is still in use"},
		{log: ""},
	}
	for _, tt := range tests {
		f := &startFailure{wait: errors.New("exit status 1"), log: tt.log, file: logFile}
		var err error = f
		for _, target := range []error{engines.ErrLocked, engines.ErrVersion, syscall.ENOSPC} {
			if errors.Is(err, target) != (target == tt.is) {
				t.Errorf("%q is %v: %t", tt.log, target, errors.Is(err, target))
			}
		}
		if f.portTaken() != tt.port || f.memoryHeld() != tt.memory || f.fatal() != tt.fatal {
			t.Errorf("%q: port %t, memory %t, fatal %q", tt.log, f.portTaken(), f.memoryHeld(), f.fatal())
		}
		if !strings.Contains(err.Error(), logFile) || !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("%q: error is %v", tt.log, err)
		}
		if denied := strings.Contains(tt.log, "Permission denied"); strings.Contains(err.Error(), "choose another") != denied {
			t.Errorf("%q: error is %v", tt.log, err)
		}
	}
}
