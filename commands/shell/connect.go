package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// connect makes a connection the shell's own and closes the one before. When it cannot be
// made, the one before stays.
func (s *shell) connect(ctx context.Context, database, user string) error {
	cfg, err := s.Server(database, user)
	if err != nil {
		return err
	}
	if cfg.RuntimeParams == nil {
		cfg.RuntimeParams = map[string]string{}
	}
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "pgx-dev shell"
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { s.notice((*pgconn.PgError)(n)) }
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { s.notification(n) }
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	if s.conn != nil {
		if err := s.conn.Close(ctx); err != nil {
			s.Logger.Debug("close the connection before", "err", err)
		}
	}
	s.conn, s.database, s.user = conn, cfg.Database, cfg.User
	return nil
}

// switchTo is \c.
func (s *shell) switchTo(ctx context.Context, database, user string) error {
	if database == "" || database == "-" {
		database = s.database
	}
	if user == "" || user == "-" {
		user = s.user
	}
	if err := s.connect(ctx, database, user); err != nil {
		text := strings.TrimSuffix(connectError(err), "\n")
		if s.conn != nil {
			text += "\nPrevious connection kept"
		}
		return s.complain("%s", text)
	}
	if !s.quiet {
		fmt.Fprintf(s.out, "You are now connected to database \"%s\" as user \"%s\".\n", s.database, s.user)
	}
	return nil
}

// connectError says why there is no connection, in the server's words if there are any.
func connectError(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return message(pg, "", false)
	}
	return err.Error()
}

func (s *shell) notice(n *pgconn.PgError) {
	sql := ""
	if s.running != nil {
		sql = s.running.sql
		fmt.Fprint(s.Stderr, s.running.where(n))
	}
	fmt.Fprint(s.Stderr, message(n, sql, false))
}

// report shows an error of the server.
func (s *shell) report(e *pgconn.PgError, q query) {
	fmt.Fprint(s.Stderr, q.where(e)+message(e, q.sql, true))
}

// where returns the file and the line that a message is about, if there is a file.
func (q *query) where(e *pgconn.PgError) string {
	if q.file == "" {
		return ""
	}
	line := q.line
	if e.Position > 0 {
		line += strings.Count(q.sql[:byteOffset(q.sql, int(e.Position)-1)], "\n")
	}
	return fmt.Sprintf("%s:%d: ", q.file, line)
}

func (s *shell) notification(n *pgconn.Notification) {
	payload := ""
	if n.Payload != "" {
		payload = ` with payload "` + n.Payload + `"`
	}
	fmt.Fprintf(s.out, "Asynchronous notification \"%s\"%s received from server process with PID %d.\n", n.Channel, payload, n.PID)
}

// lost deals with a connection that is of no more use. At a prompt another one is made.
func (s *shell) lost(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) || errors.As(s.lastWords(ctx), &pg) {
		s.report(pg, query{})
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if closeErr := s.conn.Close(closing); closeErr != nil {
		s.Logger.Debug("close a lost connection", "err", closeErr)
	}
	s.conn = nil
	if s.terminal == nil || ctx.Err() != nil {
		return fmt.Errorf("the connection to the server is lost: %w", err)
	}
	fmt.Fprint(s.Stderr, "The connection to the server was lost. Attempting reset: ")
	if err := s.connect(ctx, s.database, s.user); err != nil {
		fmt.Fprintf(s.Stderr, "Failed.\n%s\n", strings.TrimSuffix(connectError(err), "\n"))
	} else {
		fmt.Fprintln(s.Stderr, "Succeeded.")
	}
	return errStatement
}

// lastWords returns the error that the server sent before it closed the connection, where
// one waits to be read.
func (s *shell) lastWords(ctx context.Context) error {
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for {
		if _, err := s.conn.ReceiveMessage(reading); err != nil {
			return err
		}
	}
}

// cancelOn cancels the running statement when ctx ends or the person presses Ctrl-C, until
// the returned function is called.
func (s *shell) cancelOn(ctx context.Context) (stop func()) {
	conn := s.conn
	var interrupts chan os.Signal
	s.interrupted.Store(false)
	if s.terminal != nil {
		interrupts = s.terminal.interrupts
		select {
		case <-interrupts: // from before this statement
		default:
		}
	}
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		ended := ctx.Done()
		var giveUp <-chan time.Time
		for {
			select {
			case <-done:
				return
			case <-ended:
				s.sendCancel(conn)
				ended, giveUp = nil, time.After(cancelGrace)
			case <-giveUp:
				if err := conn.Conn().Close(); err != nil {
					s.Logger.Debug("drop the connection", "err", err)
				}
				giveUp = nil
			case <-interrupts:
				s.interrupted.Store(true)
				fmt.Fprintln(s.Stderr, "Cancel request sent")
				s.sendCancel(conn)
			}
		}
	}()
	return func() {
		close(done)
		<-finished
	}
}

// cancelGrace is how long a statement may take to end after it was cancelled because the
// shell ends.
const cancelGrace = 5 * time.Second

func (s *shell) sendCancel(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), cancelGrace)
	defer cancel()
	if err := conn.CancelRequest(ctx); err != nil {
		fmt.Fprintf(s.Stderr, "Could not send cancel request: %v\n", err)
	}
}
