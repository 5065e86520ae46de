package wiretest

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// StartupBytes returns a startup message of user "fuzz", which a server without authentication
// accepts: a prefix for what Bombard sends.
func StartupBytes() []byte {
	return (&wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "fuzz"}}}).AppendTo(nil)
}

// Bombard sends bytes to a server, in pieces of the given size, hangs up and waits for the
// session to end. It returns what the server sent, at most 1 MiB of it, and an error if the
// session has not ended within the time that ctx leaves. It is what fuzz tests of handlers and
// servers are made of: they look for panics, for memory that grows, and for ends that do not
// come.
func Bombard(ctx context.Context, srv *pgserver.Server, data []byte, piece int) ([]byte, error) {
	client, closed := Pipe(ctx, srv)
	defer client.Close()
	const limit = 1 << 20
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(client, limit)) // what came before the end
		_, _ = io.Copy(io.Discard, client)
		got <- b
	}()
	if piece < 1 {
		piece = 1
	}
	for len(data) > 0 {
		n := min(piece, len(data))
		if _, err := client.Write(data[:n]); err != nil {
			break // the server has hung up
		}
		data = data[n:]
	}
	if err := hangUp(ctx, client, closed); err != nil {
		return nil, err
	}
	return <-got, nil
}

// hangUp gives the server a moment to say what it has to say, and closes.
func hangUp(ctx context.Context, client net.Conn, closed <-chan struct{}) error {
	select {
	case <-closed:
		return nil
	case <-time.After(time.Millisecond):
	}
	_ = client.Close()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the session has not ended: %w", ctx.Err())
	}
}
