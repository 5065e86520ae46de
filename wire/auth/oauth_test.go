package auth

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestOAuth(t *testing.T) {
	validator := ValidatorFunc(func(_ context.Context, req BearerRequest) (BearerResult, error) {
		switch req.Token {
		case "good":
			return BearerResult{Identity: "joe@example.com", Authorized: true}, nil
		case "broken":
			return BearerResult{}, errors.New("the issuer does not answer")
		}
		return BearerResult{}, nil
	})
	newServer := func() *OAuthServer {
		return &OAuthServer{Validator: validator, Issuer: "https://id.example.com", Scope: "openid db", Request: BearerRequest{User: "joe"}}
	}
	t.Run("good", func(t *testing.T) {
		s := newServer()
		out, done, err := s.Next(t.Context(), (&OAuthClient{Token: "good"}).First())
		if out != nil || !done || err != nil || s.Identity() != "joe@example.com" {
			t.Errorf("%q, %v, %v, %q", out, done, err, s.Identity())
		}
	})
	for _, token := range []string{"", "bad"} { // asking, and a token that is no good
		t.Run("refused "+token, func(t *testing.T) {
			s, c := newServer(), &OAuthClient{Token: token}
			out, done, err := s.Next(t.Context(), c.First())
			if done || err != nil {
				t.Fatal(done, err)
			}
			answer, err := c.Next(out)
			if err != nil {
				t.Fatal(err)
			}
			want := OAuthDiscovery{"invalid_token", "https://id.example.com/.well-known/openid-configuration", "openid db"}
			if *c.Discovery() != want {
				t.Errorf("told %+v", *c.Discovery())
			}
			_, done, err = s.Next(t.Context(), answer)
			var failure *Error
			if done || !errors.As(err, &failure) || failure.Code != CodeInvalidAuthorization || !strings.Contains(failure.Message, `"joe"`) {
				t.Errorf("%v, %v", done, err)
			}
			if _, err := c.Next(out); err == nil {
				t.Error("the client took a second refusal")
			}
		})
	}
	t.Run("validator error", func(t *testing.T) {
		_, done, err := newServer().Next(t.Context(), (&OAuthClient{Token: "broken"}).First())
		var failure *Error
		if done || !errors.As(err, &failure) || failure.Code != CodeInternal || strings.Contains(err.Error(), "issuer") {
			t.Errorf("%v, %v", done, err)
		}
	})
}

func TestOAuthServerRefuses(t *testing.T) {
	tests := []struct{ msg, want string }{
		{"", "empty"},
		{"p=x,,\x01auth=Bearer x\x01\x01", "channel binding"},
		{"z,,\x01auth=Bearer x\x01\x01", "Unexpected channel-binding flag"},
		{"n,a=me,\x01auth=Bearer x\x01\x01", "authorization identity"},
		{"n,,auth=Bearer x\x01\x01", "Key-value separator"},
		{"n,,\x01auth=Bearer x\x01", "malformed key-value pair"},
		{"n,,\x01host=x\x01\x01", "does not contain an auth value"},
		{"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01", "multiple auth values"},
		{"n,,\x01auth=Basic x\x01\x01", "Bearer token is malformed"},
		{"n,,\x01auth=Bearer a b\x01\x01", "Bearer token is malformed"},
		{"n,,\x01auth=Bearer a\x00b\x01\x01", "Bearer token is malformed"},
		{"n,,\x01auth=Bearer ==\x01\x01", "Bearer token is malformed"},
		{"n,,\x011=x\x01\x01", "malformed key-value pair"},
		{"n,,\x01auth=Bearer " + strings.Repeat("x", MaxOAuthMessage) + "\x01\x01", "longer than"},
	}
	for _, tt := range tests {
		s := &OAuthServer{Validator: ValidatorFunc(func(context.Context, BearerRequest) (BearerResult, error) {
			t.Error("the validator was asked")
			return BearerResult{}, nil
		})}
		out, done, err := s.Next(t.Context(), []byte(tt.msg))
		if out != nil || done || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: %q, %v, %v", tt.msg, out, done, err)
		}
	}
}

func FuzzOAuth(f *testing.F) {
	f.Add([]byte("n,,\x01auth=Bearer good\x01\x01"), []byte("\x01"))
	f.Add([]byte("y,,\x01host=h\x01auth=\x01\x01"), []byte("x"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := &OAuthServer{Validator: ValidatorFunc(func(_ context.Context, r BearerRequest) (BearerResult, error) {
			if r.Token == "" || strings.ContainsAny(r.Token, " \x00\x01") {
				t.Fatalf("token %q reached the validator", r.Token)
			}
			return BearerResult{}, nil
		})}
		for _, msg := range [][]byte{first, second} {
			out, done, err := s.Next(t.Context(), msg)
			if done {
				t.Fatal("nobody authorized this")
			}
			if out != nil && !json.Valid(out) || err == nil && out == nil {
				t.Fatalf("%q, %v", out, err)
			}
		}
	})
}
