package wire

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire/internal/testpg"
)

var capture = flag.Bool("capture", false, "record testdata/transcripts anew; needs PostgreSQL 15 with its clients, and PYTHON naming a Python that has asyncpg")

// TestCapture records sessions of real clients with a real server.
func TestCapture(t *testing.T) {
	if !*capture {
		return // TestTranscripts uses what is recorded
	}
	const dir = "testdata/transcripts"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := testpg.Bin(t, 15)
	data := testpg.Init(t, bin)
	hba := "local all scram scram-sha-256\nlocal all md5 md5\nlocal all clear password\nlocal all all trust\nlocal replication all trust\n"
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		t.Fatal(err)
	}
	s := testpg.Start(t, bin, data, nil)
	s.Exec(t, "postgres",
		"create role scram superuser login password 'secret'",
		"create role clear login password 'secret'",
		"set password_encryption = md5", "create role md5 login password 'secret'",
		"create table t (id int primary key, name text, at timestamptz default now())",
		"create publication p for all tables",
	)
	r := &recorder{dir: dir, backend: filepath.Join(s.Socket, ".s.PGSQL.5432")}
	defer r.close()
	r.listen(t)

	psql := func(name, user, script string, args ...string) {
		r.begin(name)
		cmd := exec.Command(filepath.Join(bin, "psql"), append([]string{
			"-X", "-d",
			fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=secret dbname=postgres sslmode=prefer", r.port, user),
		}, args...)...)
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		r.end()
	}
	psql("psql", "scram", `
insert into t values (1, 'one'), (2, null);
select * from t; select 1/0; select; ;
select 1 as a \gdesc
do $$ begin raise notice 'hello' using detail = 'd', hint = 'h'; end $$;
copy t from stdin;
3	three
\.
copy t to stdout;
copy t (id) from stdin;
x
\.
listen c; notify c, 'payload';
begin; select nonsense; rollback;
set timezone to 'Europe/Paris';
\set FETCH_COUNT 1
select * from t;
\d t
`)
	psql("psql-md5", "md5", "select current_user")
	psql("psql-password", "clear", "select current_user")

	r.begin("pgx")
	recordPgx(t, r.url())
	r.end()

	r.begin("asyncpg")
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	cmd := exec.Command(python, "-c", asyncpgScript, r.url())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("asyncpg: %v\n%s", err, out)
	}
	r.end()

	s.Exec(t, "postgres", "select pg_create_logical_replication_slot('s', 'pgoutput')",
		"insert into t values (10, 'ten')", "update t set name = 'x' where id = 10", "delete from t where id = 10", "truncate t")
	var lsn string
	if err := s.Connect(t, "postgres").QueryRow(t.Context(), "select pg_current_wal_lsn()").Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	r.begin("pg_recvlogical")
	cmd = exec.Command(filepath.Join(bin, "pg_recvlogical"), "-d", r.url(), "-S", "s", "--start", "-f", "-",
		"-o", "proto_version=2", "-o", "publication_names=p", "--endpos", lsn)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_recvlogical: %v\n%s", err, out)
	}
	r.end()
}

func recordPgx(t *testing.T, url string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var n int
	if err := conn.QueryRow(ctx, "select count(*) from t where id > $1", 0).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"id", "name"}, pgx.CopyFromRows([][]any{{100, "a"}, {101, nil}})); err != nil {
		t.Fatal(err)
	}
	b := &pgx.Batch{}
	b.Queue("select $1::text", "x")
	b.Queue("select array[1, 2, 3]")
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "insert into t values (100, 'again')"); err == nil {
		t.Fatal("a duplicate was inserted")
	}
	if err := conn.PgConn().CancelRequest(ctx); err != nil {
		t.Fatal(err)
	}
}

const asyncpgScript = `
import asyncio, asyncpg, io, sys
async def main():
    c = await asyncpg.connect(sys.argv[1])
    st = await c.prepare('select i, i::text, now() from generate_series(1, $1::int) i')
    await st.fetch(3)
    async with c.transaction():
        async for row in c.cursor('select generate_series(1, 7)', prefetch=3):
            pass
    await c.copy_records_to_table('t', records=[(200, 'r')], columns=['id', 'name'])
    await c.copy_from_query('select * from t', output=io.BytesIO())
    try:
        await c.execute('select from nothing')
    except asyncpg.PostgresError:
        pass
    try:
        await c.copy_to_table('t', source=failing(), columns=['id'])
    except RuntimeError:
        pass
    await c.close()
async def failing():
    yield b'300\n'
    raise RuntimeError('no more')
asyncio.run(main())
`

// A recorder relays connections to a server and writes down what passes.
type recorder struct {
	dir, backend string
	port         int
	listener     net.Listener
	accepting    sync.WaitGroup

	mu    sync.Mutex
	name  string
	count int
	first chan struct{} // closed when the client has connected
	live  sync.WaitGroup
}

func (r *recorder) url() string {
	return fmt.Sprintf("postgres://scram:secret@127.0.0.1:%d/postgres", r.port)
}

func (r *recorder) listen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.listener, r.port = l, l.Addr().(*net.TCPAddr).Port
	r.accepting.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.count++
			file := filepath.Join(r.dir, fmt.Sprintf("%s-%d.txt", r.name, r.count))
			r.live.Go(func() {
				if err := relay(client, r.backend, file); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			})
			if r.count == 1 {
				close(r.first)
			}
			r.mu.Unlock()
		}
	})
}

func (r *recorder) begin(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name, r.count, r.first = name, 0, make(chan struct{})
}

// end waits until the connections of the client that has just ended are written down.
func (r *recorder) end() {
	<-r.first
	r.live.Wait()
}

func (r *recorder) close() {
	_ = r.listener.Close()
	r.accepting.Wait()
	r.live.Wait()
}

// relay forwards one connection, and writes its transcript when it ends.
func relay(client net.Conn, backend, file string) error {
	defer client.Close()
	server, err := net.Dial("unix", backend)
	if err != nil {
		return err
	}
	defer server.Close()
	var mu sync.Mutex
	var out strings.Builder
	record := func(kind byte, raw []byte) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&out, "%c %s\n", kind, strconv.QuoteToASCII(string(raw)))
	}
	from := NewReader(client, Frontend, 0)
	for {
		f, err := from.ReadStartup()
		if err == io.EOF { // the client does not want to go on without TLS
			return os.WriteFile(file, []byte(out.String()), 0o644)
		}
		if err != nil {
			return err
		}
		record('f', f.Raw)
		if _, err := server.Write(f.Raw); err != nil {
			return err
		}
		m, err := DecodeStartup(f.Body)
		if err != nil {
			return err
		}
		if _, ok := m.(*StartupMessage); ok {
			break
		}
		if _, ok := m.(*CancelRequest); ok {
			return os.WriteFile(file, []byte(out.String()), 0o644)
		}
		var answer [1]byte
		if _, err := server.Read(answer[:]); err != nil {
			return err
		}
		record('b', answer[:])
		if _, err := client.Write(answer[:]); err != nil {
			return err
		}
	}
	forward := func(kind byte, from *Reader, to net.Conn) {
		for {
			f, err := from.ReadFrame()
			if err != nil {
				break
			}
			record(kind, f.Raw)
			if _, err := to.Write(f.Raw); err != nil {
				break
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		forward('F', from, server)
		_ = server.(*net.UnixConn).CloseWrite()
	})
	wg.Go(func() {
		forward('B', NewReader(server, Backend, 0), client)
		_ = client.(*net.TCPConn).CloseWrite()
	})
	wg.Wait()
	return os.WriteFile(file, []byte(out.String()), 0o644)
}
