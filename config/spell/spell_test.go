package spell

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"up", "down", "status", "runtime", "restore", "url"}
	for _, tt := range []struct{ word, want string }{
		{"dwon", "down"},
		{"statsu", "status"},
		{"runtim", "runtime"},
		{"retsore", "restore"},
		{"u", "up"},
		{"xyzzy", ""},
		{"", ""},
	} {
		got := Nearest(tt.word, words)
		if got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"abc", "acb", 1},
		{"kitten", "sitting", 3},
		{"flaw", "lawn", 2},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := distance(tt.b, tt.a); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
