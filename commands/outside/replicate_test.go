package outside_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestReplicateKilled kills "wire replicate" again and again while somebody writes, and
// checks that its file has in the end every row once and in order, and no part of a
// transaction.
func TestReplicateKilled(t *testing.T) {
	k := newKiller(t)
	out, err := k.command("up", "-d", "--set", "wal_level=logical").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.command("down").Run() })
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "create table n (id int primary key); insert into n values (1), (2); create publication p for table n"); err != nil {
		t.Fatal(err)
	}

	// The writer: transactions of one to a thousand rows.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	last := 2
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			size := 1 + rand.N(3)
			if rand.N(10) == 0 {
				size = 1000
			}
			if _, err := conn.Exec(ctx, "insert into n select * from generate_series($1::int, $2::int)", last+1, last+size); err != nil {
				t.Error(err)
				return
			}
			last += size
		}
	})
	file := filepath.Join(t.TempDir(), "changes.jsonl")
	args := []string{"wire", "replicate", "--slot", "s", "--publication", "p", "--create-slot", "--copy", "-w", file}
	killed := 0
	for range 12 {
		cmd := k.command(args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed during the copy it would have to begin anew, which it says; that is not
		// what is tested here.
		for start := time.Now(); killed == 0 && time.Since(start) < 2*time.Minute; {
			if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), `"kind":"commit"`) {
				break
			}
			<-time.After(5 * time.Millisecond)
		}
		<-time.After(rand.N(250 * time.Millisecond))
		_ = cmd.Process.Kill()
		err := cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
			t.Fatalf("it ended by itself: %v\n%s", err, stderr.String())
		}
		killed++
	}
	close(stop)
	wg.Wait()
	if out, err := k.command(append(args, "--once")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rows, commits := readChanges(t, file)
	if rows != last {
		t.Errorf("%d rows in the file, %d in the table", rows, last)
	}
	t.Logf("%d kills, %d rows, %d transactions", killed, rows, commits)
	var confirmed bool
	if err := conn.QueryRow(ctx, "select confirmed_flush_lsn >= $1::text::pg_lsn from pg_replication_slots", lastEnd(t, file)).Scan(&confirmed); err != nil || !confirmed {
		t.Errorf("an orderly end was not acknowledged: %v, %v", confirmed, err)
	}
}

// readChanges checks that ids count up from 1 without a gap, within whole transactions.
func readChanges(t *testing.T, path string) (rows, commits int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	open := false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var line struct {
			Kind string
			New  struct{ ID int }
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, sc.Text())
		}
		switch line.Kind {
		case "begin":
			if open {
				t.Fatalf("a transaction has no end before row %d", rows)
			}
			open = true
		case "commit":
			open = false
			commits++
		case "insert", "row":
			if rows++; line.New.ID != rows || open != (line.Kind == "insert") {
				t.Fatalf("row %d: %s", rows, sc.Text())
			}
		}
	}
	return rows, commits
}

func lastEnd(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	var line struct{ End string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil || line.End == "" {
		t.Fatal(fmt.Errorf("the last line ends no transaction: %w: %s", err, lines[len(lines)-1]))
	}
	return line.End
}
