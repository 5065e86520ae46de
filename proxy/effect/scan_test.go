package effect

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSuspicious compares suspicious with what it is to find, at every place of texts of every length
// around the eight bytes that it looks at at a time.
func TestSuspicious(t *testing.T) {
	naive := func(s string) bool {
		_, behind, _ := strings.Cut(s, ";")
		l := strings.ToLower(s) // these are of ASCII
		return strings.TrimSpace(behind) != "" || strings.Contains(s, `&"`) || strings.Contains(l, "advisory") ||
			strings.Contains(l, "set_config") || strings.Contains(l, "temp")
	}
	check := func(s string) {
		if got, want := suspicious(s), naive(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
	for _, word := range []string{"advisory", "ADVISORY", "set_config", "Set_Config", "temp", "TEMP", "tEmP", ";x", "; ", ";", `&"`, "&", "advisor", "et_config", "emp"} {
		for before := range 20 {
			for behind := range 20 {
				check(strings.Repeat("x", before) + word + strings.Repeat(" ", behind))
				check(strings.Repeat("m", before) + word + strings.Repeat("v", behind))
			}
		}
	}
	parts := []string{"advisory", "set_config", "temp", "TEMP", ";", "&", `"`, "v", "F", "m", " ", "from", "e", "t", "p", "6", "]", "}", "\x0b", "\x16", "é", "+", "w"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		check(b.String())
	}
}
