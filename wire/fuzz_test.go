package wire

import (
	"bytes"
	gocmp "cmp"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"
)

// FuzzStartup decodes startup packets. What is accepted comes out the same when it is
// encoded and decoded again.
func FuzzStartup(f *testing.F) {
	for _, steps := range transcripts(f) {
		for _, s := range steps {
			if s.kind == 'f' {
				f.Add(s.raw[startupHeaderLen:])
			}
		}
	}
	for _, p := range startupPairs() {
		f.Add(p.ours.AppendTo(nil)[startupHeaderLen:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := DecodeStartup(body)
		if err != nil {
			wantViolation(t, err)
			return
		}
		if s, ok := m.(*StartupMessage); ok {
			if s.Version.Major() != 3 || len(body) > MaxStartup {
				return
			}
			if _, npv, err := Negotiate(s, Version32); err != nil {
				t.Errorf("negotiate: %v", err)
			} else if npv != nil {
				if _, err := npv.Accept(s, Version30); err != nil && s.Version != MakeVersion(3, 1) {
					t.Errorf("our client refuses our server's %+v to %v: %v", npv, s, err)
				}
			}
		}
		b, err := Append(nil, m)
		if err != nil {
			t.Fatalf("decoded but cannot be encoded: %v", err)
		}
		if !bytes.Equal(b[startupHeaderLen:], body) {
			t.Errorf("%q became %q", body, b[startupHeaderLen:])
		}
	})
}

func FuzzFrontendStream(f *testing.F) { fuzzStream(f, Frontend) }

func FuzzBackendStream(f *testing.F) { fuzzStream(f, Backend) }

// fuzzStream reads arbitrary bytes in chunks of arbitrary size with a Reader and a Scanner,
// which have to agree, and decodes each message. Memory stays in proportion to what came.
func fuzzStream(f *testing.F, side Side) {
	for _, steps := range transcripts(f) {
		var stream []byte
		for _, s := range steps {
			if s.side() == side && s.kind >= 'A' && s.kind <= 'Z' && len(s.raw) < 200 {
				stream = append(stream, s.raw...)
			}
			if len(stream) > 500 { // long seeds keep the fuzzer busy with making them short
				f.Add(stream, uint16(len(stream)))
				stream = nil
			}
		}
		f.Add(stream, uint16(1))
	}
	f.Add([]byte("Q\x3f\xff\xff\xfe"), uint16(7))
	f.Add([]byte("d\x00\x00\x00\x04d\x00\x00\x00\x03"), uint16(3))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint16) {
		size := int(chunk)%8192 + 1
		r := NewReader(&chunked{b: stream, size: size}, side, 0)
		var fe FrontendDecoder
		var be BackendDecoder
		var read []byte
		var readErr error
		for {
			frame, err := r.ReadFrame()
			if err != nil {
				readErr = err
				break
			}
			read = append(read, frame.Raw...)
			var derr error
			if side == Frontend {
				_, derr = fe.Decode(frame.Type, frame.Body)
			} else {
				_, derr = be.Decode(frame.Type, frame.Body)
			}
			if derr != nil {
				wantViolation(t, derr)
			}
		}
		if len(r.buf) > 2*len(stream)+2*minReadBuffer {
			t.Errorf("a buffer of %d bytes for %d", len(r.buf), len(stream))
		}
		if !bytes.HasPrefix(stream, read) {
			t.Fatal("the reader invents bytes")
		}

		s := NewScanner(side, 0)
		var scanned, whole []byte
		var scanErr error
		for rest := stream; len(rest) > 0 && scanErr == nil; {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			for len(piece) > 0 {
				var span Span
				span, piece, scanErr = s.Next(piece)
				if scanErr != nil {
					break
				}
				scanned = append(scanned, span.Bytes...)
				if span.End {
					whole = append(whole[:0], scanned...)
				}
			}
		}
		if !bytes.Equal(whole, read) {
			t.Errorf("the scanner finds %d bytes of messages, the reader %d", len(whole), len(read))
		}
		var e *Error
		if errors.As(readErr, &e) != (scanErr != nil) {
			t.Errorf("the reader ends with %v, the scanner with %v", readErr, scanErr)
		}
		if scanErr == nil && (readErr == io.EOF) != s.Between() {
			t.Errorf("the reader ends with %v, the scanner is between messages: %v", readErr, s.Between())
		}
	})
}

func wantViolation(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeProtocolViolation || e.Message == "" {
		t.Errorf("error %v is no protocol violation", err)
	}
}

// FuzzRoundTrip decodes a body as each message and as pgproto3 does. Whatever we accept
// they accept, and both write the same bytes again.
func FuzzRoundTrip(f *testing.F) {
	for _, steps := range transcripts(f) {
		for _, s := range steps {
			if s.kind == 'F' || s.kind == 'B' {
				f.Add(s.side() == Backend, s.raw[0], s.raw[HeaderLen:])
			}
		}
	}
	for _, p := range append(frontendPairs(), backendPairs()...) {
		b := p.ours.AppendTo(nil)
		_, backend := p.ours.(BackendMessage)
		f.Add(backend, b[0], b[HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, backend bool, kind byte, body []byte) {
		var m Message
		var err error
		var other theirs
		if backend {
			m, err = decodeAny(DecodeBackend(Type(kind), body))
			other = theirBackend(Type(kind), body)
		} else {
			m, err = decodeAny(DecodeFrontend(Type(kind), body))
			other = theirFrontend(Type(kind))
		}
		if err != nil {
			wantViolation(t, err)
			return
		}
		b, err := Append(nil, m)
		if err != nil {
			t.Fatalf("%T: decoded but cannot be encoded: %v", m, err)
		}
		switch m := m.(type) { // an error always has a code
		case *ErrorResponse:
			m.Error.Code = gocmp.Or(m.Error.Code, CodeInternalError)
		case *NoticeResponse:
			m.Error.Code = gocmp.Or(m.Error.Code, CodeSuccessfulCompletion)
		}
		again := newOf(m)
		if err := again.Decode(b[HeaderLen:]); err != nil {
			t.Fatalf("%T: encoded but cannot be decoded: %v", m, err)
		}
		if diff := cmp.Diff(m, again, equal...); diff != "" {
			t.Fatalf("%T: encoded and decoded:\n%s", m, diff)
		}
		if other == nil {
			return
		}
		if f, ok := m.(*FunctionCall); ok && len(f.ArgFormats) == 1 && len(f.Args) != 1 {
			return // one format holds for any number of arguments; pgproto3 wants one argument
		} else if ok && slices.ContainsFunc(append(f.ArgFormats, f.ResultFormat), func(x Format) bool { return x != Text && x != Binary }) {
			return // a format that nobody knows is the server's to refuse, without the end of the session
		}
		// They get what we wrote, which is what came but for the liberties that a decoder
		// has to allow: negative row counts, flags other than 0 and 1, unknown error fields.
		if err := other.Decode(b[HeaderLen:]); err != nil {
			t.Fatalf("%T: they refuse %q: %v", m, b, err)
		}
		if theirs, err := other.Encode(nil); err != nil || !sameFields(theirs, b) {
			t.Errorf("%T:\n ours   %q\n theirs %q, %v", m, b, theirs, err)
		}
	})
}

func decodeAny[M Message](m M, err error) (Message, error) { return m, err }

func theirFrontend(t Type) theirs {
	switch t {
	case TypeBind:
		return &pgproto3.Bind{}
	case TypeClose:
		return &pgproto3.Close{}
	case TypeDescribe:
		return &pgproto3.Describe{}
	case TypeExecute:
		return &pgproto3.Execute{}
	case TypeFunctionCall:
		return &pgproto3.FunctionCall{}
	case TypeParse:
		return &pgproto3.Parse{}
	case TypeQuery:
		return &pgproto3.Query{}
	case TypeCopyData:
		return &pgproto3.CopyData{}
	case TypeCopyFail:
		return &pgproto3.CopyFail{}
	case TypeAuthResponse:
		return &pgproto3.SASLResponse{}
	}
	return nil
}

func theirBackend(t Type, body []byte) theirs {
	switch t {
	case TypeAuthentication:
		if len(body) < 4 {
			return nil
		}
		switch AuthCode(body[3]) {
		case AuthMD5Password:
			return &pgproto3.AuthenticationMD5Password{}
		case AuthSASL:
			return &pgproto3.AuthenticationSASL{}
		case AuthSASLContinue:
			return &pgproto3.AuthenticationSASLContinue{}
		case AuthSASLFinal:
			return &pgproto3.AuthenticationSASLFinal{}
		}
	case TypeBackendKeyData:
		return &pgproto3.BackendKeyData{}
	case TypeCommandComplete:
		return &pgproto3.CommandComplete{}
	case TypeCopyBothResponse:
		return &pgproto3.CopyBothResponse{}
	case TypeCopyInResponse:
		return &pgproto3.CopyInResponse{}
	case TypeCopyOutResponse:
		return &pgproto3.CopyOutResponse{}
	case TypeDataRow:
		return &pgproto3.DataRow{}
	case TypeFunctionCallResponse:
		return &pgproto3.FunctionCallResponse{}
	case TypeNegotiateProtocolVersion:
		return &pgproto3.NegotiateProtocolVersion{}
	case TypeNotificationResponse:
		return &pgproto3.NotificationResponse{}
	case TypeParameterDescription:
		return &pgproto3.ParameterDescription{}
	case TypeParameterStatus:
		return &pgproto3.ParameterStatus{}
	case TypeReadyForQuery:
		return &pgproto3.ReadyForQuery{}
	case TypeRowDescription:
		return &pgproto3.RowDescription{}
	}
	return nil
}
