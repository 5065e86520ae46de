package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A User is a process that uses a cluster.
type User struct {
	PID   int       `json:"pid"`
	Label string    `json:"label,omitempty"` // what it does: "up", "psql", the command's name
	Since time.Time `json:"since"`
}

// Ended says why a server is no more.
type Ended struct {
	// Why is the reason of an orderly end: "no users", "idle", "down", "destroy",
	// "restart", "terminated". Empty if it broke.
	Why string `json:"why,omitempty"`
	// Err is what broke.
	Err string `json:"err,omitempty"`
}

type request struct {
	Cmd  string        `json:"cmd"`
	User *User         `json:"user,omitempty"`
	Why  string        `json:"why,omitempty"`
	Kill bool          `json:"kill,omitempty"` // stop: do not be polite for long
	Pin  bool          `json:"pin,omitempty"`
	Idle time.Duration `json:"idle,omitempty"`
}

type response struct {
	OK     bool          `json:"ok,omitempty"`
	Err    string        `json:"err,omitempty"`
	Pinned bool          `json:"pinned,omitempty"`
	Idle   time.Duration `json:"idle,omitempty"`
	Users  []User        `json:"users,omitempty"`
	Ended  *Ended        `json:"ended,omitempty"`
}

// A controlConn is one end of a control connection. Reads and writes may go on at the same
// time, but not two of a kind.
type controlConn struct {
	net.Conn
	r *bufio.Reader
}

func dialControl(ctx context.Context, socket string) (*controlConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster's supervisor: %w", err)
	}
	return newControlConn(c), nil
}

func newControlConn(c net.Conn) *controlConn { return &controlConn{c, bufio.NewReader(c)} }

func (c *controlConn) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.Write(append(b, '\n'))
	return err
}

// receive reads one line. The peer is the same user, so its length is not bounded.
func (c *controlConn) receive(v any) error {
	line, err := c.r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// ask sends a request and returns the answer, or the answer's error.
func (c *controlConn) ask(ctx context.Context, req request) (response, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var resp response
	err := c.send(req)
	if err == nil {
		err = c.receive(&resp)
	}
	switch {
	case ctx.Err() != nil:
		return resp, context.Cause(ctx)
	case err != nil:
		return resp, fmt.Errorf("ask the cluster's supervisor to %s: %w", req.Cmd, err)
	case resp.Err != "":
		return resp, errors.New(resp.Err)
	}
	return resp, nil
}

// askOnce asks over a connection of its own.
func askOnce(ctx context.Context, socket string, req request) (response, error) {
	c, err := dialControl(ctx, socket)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = c.Close() }()
	return c.ask(ctx, req)
}

// gone reports whether an error means that the other end has ended.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isDisconnect(err)
}
