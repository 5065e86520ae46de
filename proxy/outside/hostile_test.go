package outside_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestHostile opens connections that say what no client should, or nothing, while clients work:
// each gets its end in good time and costs little, and the others notice nothing.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := configure(t, s, "client_login_timeout = 2000\nquery_size_limit = 100000\nquery_size_limit_action = \"block\"\ntls_certificate = \"server.crt\"\ntls_private_key = \"server.key\"\nlog_connections = false\nlog_disconnections = false", "")
	cert, key := certificate(t)
	p.write("server.crt", string(cert))
	p.write("server.key", string(key))
	x := p.proxy("--listen=tcp")
	cfg, err := pgx.ParseConfig(x.url)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port))
	work := x.app()
	before, err := footprintOf(x.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			var got int
			if err := work.QueryRow(context.WithoutCancel(ctx), "SELECT $1::int", i).Scan(&got); err != nil || got != i {
				t.Errorf("a client that does its work: %d, %v", got, err)
				return
			}
		}
	})
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise)
	message := func(length uint32, body string) string {
		return string(binary.BigEndian.AppendUint32(nil, length)) + body
	}
	startup := message(uint32(8+len("user\x00postgres\x00database\x00app\x00\x00")), "\x00\x03\x00\x00user\x00postgres\x00database\x00app\x00\x00")
	sslRequest := message(8, "\x04\xd2\x16\x2f")
	for _, tt := range []struct {
		name, say string
		times     int
	}{
		{"silence", "", 300},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 20},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", 20},
		{"noise", string(noise), 50},
		{"zeros", strings.Repeat("\x00", 100000), 20},
		{"a startup message of 2 GB", message(0x7fffffff, "\x00\x03\x00\x00user\x00x\x00"), 50},
		{"a startup message of 4 bytes", message(4, ""), 20},
		{"a startup message without an end", message(9000, "\x00\x03\x00\x00user\x00"), 100},
		{"a protocol of tomorrow", message(8, "\x00\x63\x00\x00"), 20},
		{"no user", message(9, "\x00\x03\x00\x00\x00"), 20},
		{"half a request for TLS", sslRequest[:5], 50},
		{"a request for TLS, and then nothing", sslRequest, 300},
		{"a request for TLS, and then no TLS", sslRequest + startup, 50},
		{"requests for TLS again and again", strings.Repeat(sslRequest, 1000), 20},
		{"a login without a password", startup, 100},
		{"a query instead of a password", startup + "Q\x00\x00\x00\x0dSELECT 1\x00", 20},
		{"a password of 1 GB", startup + "p\x3f\xff\xff\xff" + strings.Repeat("x", 50000), 20},
		{"a cancel request for nobody", message(16, "\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02"), 100},
		{"a cancel request with a key of 9,000 bytes", message(9012, "\x04\xd2\x16\x2e\x00\x00\x00\x01"+strings.Repeat("k", 9000)), 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all sync.WaitGroup
			for range tt.times {
				all.Go(func() { ends(t, address, tt.say) })
			}
			all.Wait()
		})
	}
	t.Run("one byte at a time", func(t *testing.T) {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { drips(t, address, startup) })
		}
		all.Wait()
	})
	t.Run("half a TLS handshake", func(t *testing.T) {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { ends(t, address, sslRequest+string(helloOf(t))[:40]) })
		}
		all.Wait()
	})
	t.Run("messages that are too long", func(t *testing.T) {
		c := x.app()
		_, err := c.Exec(t.Context(), "SELECT '"+strings.Repeat("x", 200_000)+"'", pgx.QueryExecModeSimpleProtocol)
		if err == nil {
			t.Error("a query above the limit is answered")
		}
		x.says("a message of 200015 bytes is longer than the proxy allows") // a client that still writes may not hear it
		for _, typ := range []string{"Q", "P", "B", "d", "F", "?", "\x00"} {
			c, err := connect(t.Context(), x.url, "postgres", "secret", "app")
			if err != nil {
				t.Fatal(err)
			}
			h, err := c.PgConn().Hijack()
			if err != nil {
				t.Fatal(err)
			}
			_ = h.Conn.SetDeadline(time.Now().Add(patience))
			_, _ = h.Conn.Write([]byte(typ + "\x7f\xff\xff\xff" + strings.Repeat("x", 1000)))
			if _, err := io.Copy(io.Discard, h.Conn); isTimeout(err) {
				t.Errorf("a message %q of 2 GB keeps the session", typ)
			}
			_ = h.Conn.Close()
		}
	})
	stop()
	wg.Wait()
	var after footprint
	eventually(t, "nothing of them is left", func() bool {
		after, err = footprintOf(x.Process.Pid)
		return err == nil && after.fds <= before.fds+10
	})
	// Memory that the runtime has not given back yet is no leak; a message believed would be.
	if after.rss > before.rss+100<<10 {
		t.Errorf("resident memory went from %d to %d kB", before.rss, after.rss)
	}
	if _, err := work.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
	x.end()
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error) //nolint:errorlint // as it came from the connection
	return ok && e.Timeout()
}

// ends says something to the proxy and wants it to end the connection, without a word too many.
func ends(t *testing.T, address, say string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, say) // it may end while we speak
	b, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if isTimeout(err) {
		t.Errorf("the connection is still open after %v", patience)
	}
	if len(b) > 4096 || bytes.Contains(b, []byte("goroutine")) {
		t.Errorf("it answered %d bytes: %.200q", len(b), b)
	}
}

// drips says something so slowly that no read times out.
func drips(t *testing.T, address, say string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	gone := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		gone <- err
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case err := <-gone:
			if isTimeout(err) {
				t.Errorf("the connection is still open after %v", patience)
			}
			return
		case <-tick.C:
			if i < len(say)-1 {
				_, _ = c.Write([]byte{say[i]})
			}
		}
	}
}

// helloOf returns what a TLS client says first.
func helloOf(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() {
		_ = tls.Client(a, &tls.Config{ServerName: "x"}).Handshake() // it gets no answer
	}()
	defer a.Close()
	defer b.Close()
	_ = b.SetDeadline(time.Now().Add(patience))
	hello := make([]byte, 100)
	if _, err := io.ReadFull(b, hello); err != nil {
		t.Error(err)
	}
	return hello
}
