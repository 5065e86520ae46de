package conf

import "fmt"

// A Mistake is one thing that is wrong with a [Config].
type Mistake struct {
	// Key says where: "general.port", "databases[1].role".
	Key string
	// Msg says what is wrong, and what to do about it.
	Msg string
}

// Error returns "KEY: what is wrong".
func (m *Mistake) Error() string { return m.Key + ": " + m.Msg }

// A Warning is something in a configuration that has no effect, or another one than it
// seems to have.
type Warning struct {
	Key, Msg string
}

// String returns "KEY: what to know".
func (w Warning) String() string { return w.Key + ": " + w.Msg }

// mistakes collects them.
type mistakes []error

func (m *mistakes) add(key, format string, args ...any) {
	*m = append(*m, &Mistake{Key: key, Msg: fmt.Sprintf(format, args...)})
}
