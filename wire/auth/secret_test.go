package auth

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

const rfcVerifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

func TestSecretTextRoundTrip(t *testing.T) {
	for _, text := range []string{
		rfcVerifier, "md5a3556571e93b0d20722ba62be61e8c2d", "hunter2",
		"md5a3556571e93b0d20722ba62be61e8c2", // a digit short: a password that looks so
		"md5A3556571E93B0D20722BA62BE61E8C2D",
	} {
		s, err := ParseSecret(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if s.Text() != text {
			t.Errorf("got %q, want %q", s.Text(), text)
		}
	}
}

func TestParseSecretRefusesDamage(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"no keys":        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==",
		"no salt":        "SCRAM-SHA-256$4096$WG5d:wfPL",
		"zero rounds":    strings.Replace(rfcVerifier, "4096", "0", 1),
		"negative":       strings.Replace(rfcVerifier, "4096", "-1", 1),
		"too many":       strings.Replace(rfcVerifier, "4096", "99999999999", 1),
		"bad base64":     strings.Replace(rfcVerifier, "W22Z", "W2!Z", 1),
		"short key":      rfcVerifier[:len(rfcVerifier)-8] + "l2dU=",
		"trailing":       rfcVerifier + ":x",
		"line in base64": strings.Replace(rfcVerifier, "W22Z", "W22Z\n", 1),
	} {
		if s, err := ParseSecret(text); err == nil {
			t.Errorf("%s: got %#v", name, s)
		}
	}
}

func TestSecretNeverPrintsItself(t *testing.T) {
	for _, text := range []string{rfcVerifier, "md5a3556571e93b0d20722ba62be61e8c2d", "hunter2"} {
		s, err := ParseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if out := fmt.Sprintf(format, s); !strings.HasSuffix(out, " secret") || strings.Contains(out, "hunter2") {
				t.Errorf("%s prints %s", format, out)
			}
		}
	}
}

func TestVerifyPassword(t *testing.T) {
	scram, err := NewSCRAMSecret("pencil", 1000)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		secret   Secret
		password string
		want     bool
	}{
		{"plain", Secret{Kind: PlainSecret, Plain: "pencil"}, "pencil", true},
		{"plain wrong", Secret{Kind: PlainSecret, Plain: "pencil"}, "pencil ", false},
		{"md5", NewMD5Secret("user", "pencil"), "pencil", true},
		{"md5 wrong", NewMD5Secret("user", "pencil"), "Pencil", false},
		{"md5 of another role", NewMD5Secret("other", "pencil"), "pencil", false},
		{"scram", scram, "pencil", true},
		{"scram wrong", scram, "", false},
		{"none", Secret{}, "", false},
		{"mock", MockSecret([]byte("k"), "user", 10), "", false},
		{"mock plain", MockPlainSecret(10), "", false},
	}
	for _, tt := range tests {
		if got := tt.secret.VerifyPassword("user", tt.password); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestMD5(t *testing.T) {
	salt := [4]byte{1, 2, 3, 4}
	answer := MD5Response("user", "pencil", salt)
	for name, s := range map[string]Secret{"md5": NewMD5Secret("user", "pencil"), "plain": {Kind: PlainSecret, Plain: "pencil"}} {
		if !s.VerifyMD5("user", answer, salt) || s.VerifyMD5("user", answer, [4]byte{}) || s.VerifyMD5("user", "", salt) {
			t.Errorf("%s secret: wrong judgement", name)
		}
	}
	scram, err := ParseSecret(rfcVerifier)
	if err != nil {
		t.Fatal(err)
	}
	if scram.VerifyMD5("user", answer, salt) || scram.CanMD5() || (Secret{}).VerifyMD5("user", answer, salt) {
		t.Error("a SCRAM secret passed md5")
	}
}

// The salt of a role that does not exist is constant, differs between roles and servers, and
// looks like a real one.
func TestMockSecret(t *testing.T) {
	a, b := MockSecret([]byte("server"), "a", 0), MockSecret([]byte("server"), "b", 0)
	if !bytes.Equal(a.Salt, MockSecret([]byte("server"), "a", 0).Salt) || bytes.Equal(a.Salt, b.Salt) ||
		bytes.Equal(a.Salt, MockSecret([]byte("other"), "a", 0).Salt) || len(a.Salt) != saltLen || a.Iterations != DefaultIterations {
		t.Errorf("mock secrets %v and %v", a.Salt, b.Salt)
	}
}

func TestSASLprep(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"I\u00ADX", "IX", true}, // RFC 4013 section 3
		{"user", "user", true},
		{"USER", "USER", true},
		{"\u00AA", "a", true},
		{"\u2168", "IX", true},
		{"\u0007", "\u0007", true}, // ASCII passes, as in pg_saslprep
		{"\u0627\u0031", "", false},
		{"a\u00A0b", "a b", true},
		{"a\u200Bb", "a b", true},
		{"\u00AD", "", false},
		{"\uFFFD", "", false},
		{"\U000E0001x", "", false},
		{"\u0221", "", false}, // not assigned in Unicode 3.2
		{"\u0627\u0628", "\u0627\u0628", true},
		{"\u0627a\u0628", "", false},
		{"\xff", "", false},
	}
	for _, tt := range tests {
		got, err := SASLprep(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%+q: got %+q, %v", tt.in, got, err)
		}
	}
}

func FuzzSecret(f *testing.F) {
	f.Add(rfcVerifier)
	f.Add("md5a3556571e93b0d20722ba62be61e8c2d")
	f.Add("SCRAM-SHA-256$1:" + base64.StdEncoding.EncodeToString([]byte("s")) + "$:")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err != nil {
			return
		}
		again, err := ParseSecret(s.Text())
		if err != nil || again.Text() != s.Text() || again.Kind != s.Kind {
			t.Fatalf("%q became %q: %v", text, s.Text(), err)
		}
	})
}
