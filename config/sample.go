package config

import _ "embed"

//go:embed sample.toml
var sample string

// Sample returns a config file that has every key, commented out, with its explanation and
// its default. It is made from the structs and their comments; a test keeps it so.
func Sample() string { return sample }
