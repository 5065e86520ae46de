package cluster

import (
	"fmt"
	"time"
)

// stayAfterAll answers those who thought they were the last.
func (s *supervisor) stayAfterAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.leaving {
		s.say(c, response{OK: true})
		delete(s.leaving, c)
	}
}

// say sends without waiting for a peer that does not read. The caller holds mu.
func (s *supervisor) say(c *controlConn, resp response) {
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_ = c.send(resp)
}

// accept serves control connections until the listener is closed.
func (s *supervisor) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.handle(newControlConn(c)) // ends with the connection, at the latest with the process
	}
}

func (s *supervisor) handle(c *controlConn) {
	defer func() {
		s.mu.Lock()
		delete(s.users, c)
		delete(s.leaving, c)
		s.mu.Unlock()
		_ = c.Close()
		s.kick()
	}()
	for {
		var req request
		if err := c.receive(&req); err != nil {
			return
		}
		if req.Cmd == "stop" {
			s.askStop(req.Why, req.Kill)
			_ = c.send(response{OK: true})
			return
		}
		s.mu.Lock()
		resp, now := s.answer(c, req)
		if now {
			s.say(c, resp)
		}
		s.mu.Unlock()
		s.kick()
	}
}

// askStop returns when the loop has ended the server.
func (s *supervisor) askStop(why string, force bool) {
	done := make(chan struct{})
	select {
	case s.stop <- stopRequest{why, force, done}:
		<-done
	case <-s.srv.Done():
	}
}

// answer carries out one request; now is false where the answer comes later. The caller
// holds mu.
func (s *supervisor) answer(c *controlConn, req request) (resp response, now bool) {
	switch req.Cmd {
	case "attach":
		if req.User == nil {
			return response{Err: "attach: no user given"}, true
		}
		s.users[c] = req.User
		s.idle = false
		s.log.Info("attach", "pid", req.User.PID, "label", req.User.Label)
	case "status":
		resp.Pinned, resp.Idle = s.pinned, s.limit
		for _, u := range s.users {
			resp.Users = append(resp.Users, *u)
		}
	case "pin", "unpin":
		s.pinned = req.Cmd == "pin"
		s.idle = false
		s.setIdleLimit(req.Idle)
	case "claim":
		if s.taken() {
			break // shared by name: it stays as its first user wanted it, or longer
		}
		close(s.claimed)
		s.pinned = req.Pin
		s.idle = false
		s.setIdleLimit(req.Idle)
	case "release":
		delete(s.users, c)
		if len(s.users) == 0 && !s.pinned {
			s.leaving[c] = true
			return resp, false
		}
	default:
		return response{Err: fmt.Sprintf("unknown command %q: the cluster was started by another version of pgx-dev; stop it with that", req.Cmd)}, true
	}
	resp.OK = true
	return resp, true
}
