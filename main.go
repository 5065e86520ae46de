// Command pgx-dev gives a developer every PostgreSQL they need.
package main

import (
	"os"

	"github.com/pgx-dev/pgx-dev/commands"
)

func main() {
	os.Exit(commands.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
