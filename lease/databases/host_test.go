package databases

import "testing"

// TestURLSaysThePort: what a pool's URL leaves out comes from our environment, and is not
// left to the client's.
func TestURLSaysThePort(t *testing.T) {
	t.Setenv("PGPORT", "6001")
	for text, want := range map[string]string{
		"postgresql://u@127.0.0.1/x":              "postgresql://u@127.0.0.1:6001/d",
		"postgresql://u@127.0.0.1:6002/x":         "postgresql://u@127.0.0.1:6002/d",
		"postgresql://u@[::1]/x?sslmode=disable":  "postgresql://u@[::1]:6001/d?sslmode=disable",
		"postgresql://u@/x?host=/run/pg":          "postgresql://u@/d?host=%2Frun%2Fpg&port=6001",
		"postgresql://u@/x?host=/run/pg&port=603": "postgresql://u@/d?host=%2Frun%2Fpg&port=603",
		"postgresql://u@a,b/x":                    "postgresql://u@a,b/d",
	} {
		open, err := AtURL(text)
		if err != nil {
			t.Fatal(err)
		}
		host, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := urlIn(host.Env("d")); got != want {
			t.Errorf("%s: a lease's URL is %s, want %s", text, got, want)
		}
	}
}
