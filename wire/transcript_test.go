package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A step is one message of a recorded session.
//
// Transcripts are text: a letter and the message's bytes as a Go string. 'f' is a startup
// packet, 'F' another message of the frontend, 'b' the byte that answers SSLRequest or
// GSSENCRequest, 'B' a message of the backend.
type step struct {
	kind byte
	raw  []byte
}

func (s step) side() Side {
	if s.kind == 'B' || s.kind == 'b' {
		return Backend
	}
	return Frontend
}

// transcripts reads the recorded sessions by their names.
func transcripts(t testing.TB) map[string][]step {
	t.Helper()
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	all := map[string][]step{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var steps []step
		lines := bufio.NewScanner(bytes.NewReader(b))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			kind, quoted, _ := strings.Cut(lines.Text(), " ")
			raw, err := strconv.Unquote(quoted)
			if err != nil || len(kind) != 1 {
				t.Fatalf("%s: %q: %v", file, lines.Text(), err)
			}
			steps = append(steps, step{kind[0], []byte(raw)})
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = steps
	}
	return all
}

// TestTranscripts decodes and encodes every message that psql, pgx, asyncpg, PostgreSQL's
// replication tools and PostgreSQL itself have said to each other.
func TestTranscripts(t *testing.T) {
	seen := map[string]bool{}
	for name, steps := range transcripts(t) {
		var fe FrontendDecoder
		var be BackendDecoder
		for i, s := range steps {
			var m Message
			var err error
			switch s.kind {
			case 'f':
				m, err = DecodeStartup(s.raw[startupHeaderLen:])
			case 'F':
				m, err = fe.Decode(Type(s.raw[0]), s.raw[HeaderLen:])
			case 'B':
				m, err = be.Decode(Type(s.raw[0]), s.raw[HeaderLen:])
			default:
				continue
			}
			if err != nil {
				t.Errorf("%s: step %d: %q: %v", name, i, s.raw, err)
				continue
			}
			seen[fmt.Sprintf("%T", m)] = true
			if b := m.AppendTo(nil); !sameFields(b, s.raw) {
				t.Errorf("%s: step %d: %T:\n was %q\n is  %q", name, i, m, s.raw, b)
			}
		}
	}
	for _, want := range []Message{
		&SSLRequest{}, &StartupMessage{}, &CancelRequest{}, &AuthResponse{}, &Query{}, &Parse{}, &Bind{}, &Describe{},
		&Execute{}, &Close{}, &Sync{}, &Flush{}, &CopyData{}, &CopyDone{}, &CopyFail{}, &Terminate{},
		&AuthenticationSASL{}, &AuthenticationOk{}, &ErrorResponse{}, &NoticeResponse{}, &NotificationResponse{},
		&PortalSuspended{}, &CopyBothResponse{}, &CopyInResponse{}, &CopyOutResponse{}, &ParameterDescription{},
	} {
		if name := fmt.Sprintf("%T", want); !seen[name] {
			t.Errorf("no transcript has a %s", name)
		}
	}
}
