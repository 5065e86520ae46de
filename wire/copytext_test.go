package wire

import "testing"

func TestAppendCopyText(t *testing.T) {
	tests := []struct{ field, want string }{
		{"", ""},
		{"plain", "plain"},
		{`a\tb\nc\\d`, "a\tb\nc\\d"},
		{`\b\f\r\v`, "\b\f\r\v"},
		{`\101\60\7x`, "A0\ax"},
		{`\400`, "\x00"}, // octal beyond a byte is cut, as the server does
		{`\x41\x4G\xg`, "A\x04Gxg"},
		{`\.`, "."},
		{`end\`, `end\`},
	}
	for _, tt := range tests {
		if got := AppendCopyText([]byte("<"), []byte(tt.field)); string(got) != "<"+tt.want {
			t.Errorf("%q: %q, want %q", tt.field, got, tt.want)
		}
	}
}

func FuzzAppendCopyText(f *testing.F) {
	for _, s := range []string{`a\tb`, `\x4`, `\\\`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, field []byte) {
		if got := AppendCopyText(nil, field); len(got) > len(field) {
			t.Fatalf("%q became longer: %q", field, got)
		}
	})
}
