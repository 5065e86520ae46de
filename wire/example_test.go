package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A relay passes messages on as they came, and decodes only those that it has to know of.
func Example_forward() {
	var client bytes.Buffer
	for _, m := range []wire.Message{
		&wire.Parse{SQL: "select $1::int"}, &wire.Bind{Params: [][]byte{[]byte("42")}}, &wire.Execute{}, &wire.Sync{},
	} {
		client.Write(m.AppendTo(nil))
	}

	r := wire.NewReader(&client, wire.Frontend, 0)
	var server bytes.Buffer
	w := wire.NewWriter(&server)
	for {
		f, err := r.ReadFrame()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if f.Type == wire.TypeParse {
			var m wire.Parse
			if err := m.Decode(f.Body); err != nil {
				log.Fatal(err)
			}
			fmt.Println("statement:", m.SQL)
		}
		if err := w.WriteRaw(f.Raw); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Len(), "bytes forwarded")
	// Output:
	// statement: select $1::int
	// 57 bytes forwarded
}

// A scanner finds messages in whatever chunks a transport delivers.
func ExampleScanner() {
	stream := (&wire.CommandComplete{Tag: "SELECT 1"}).AppendTo(nil)
	stream = (&wire.ReadyForQuery{TxStatus: wire.TxIdle}).AppendTo(stream)

	s := wire.NewScanner(wire.Backend, 0)
	for len(stream) > 0 {
		chunk := stream[:min(9, len(stream))] // as little as a read may return
		stream = stream[len(chunk):]
		for len(chunk) > 0 {
			var span wire.Span
			var err error
			if span, chunk, err = s.Next(chunk); err != nil {
				log.Fatal(err)
			}
			if span.End {
				fmt.Printf("%s of %d bytes\n", wire.Backend.Name(span.Type), span.Size)
			}
		}
	}
	// Output:
	// CommandComplete of 14 bytes
	// ReadyForQuery of 6 bytes
}

// Errors carry a code, and keep what caused them for errors.Is.
func ExampleError() {
	err := fmt.Errorf("copy table: %w", wire.Errorf(wire.CodeDiskFull, "write block: %w", io.ErrShortWrite))
	if e, ok := errors.AsType[*wire.Error](err); ok {
		fmt.Println(e.Code, e.Code.Class(), e)
	}
	fmt.Println(errors.Is(err, io.ErrShortWrite))
	// Output:
	// 53100 53 ERROR: write block: short write (SQLSTATE 53100)
	// true
}

// What the protocol cannot carry is an error before anything is sent.
func ExampleAppend() {
	_, err := wire.Append(nil, &wire.Query{SQL: "select 1\x00; drop table t"})
	fmt.Println(err)
	// Output: encode Query: NUL byte in the string "select 1\x00; drop table t"
}
