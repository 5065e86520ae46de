package commands

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/pgx-dev/pgx-dev/wire/auth"
)

// proxyHashCmd makes verifiers.
type proxyHashCmd struct {
	Password   string `arg:"" optional:"" help:"The password. Others can see it in the list of processes: better leave it out and be asked, or hand it over on stdin."`
	Iterations int    `placeholder:"N" help:"How much work checking a password is (default: 4096)."`
}

// maxPassword bounds what is read from standard input, in bytes.
const maxPassword = 4096

// Run prints the verifier.
func (c *proxyHashCmd) Run(env *Env) error {
	if c.Iterations < 0 || c.Iterations > auth.DefaultMaxIterations {
		return usageError("--iterations has to be between 1 and %d", auth.DefaultMaxIterations)
	}
	password := c.Password
	if password == "" {
		var err error
		if password, err = readPassword(env); err != nil {
			return err
		}
	} else {
		env.UI.Warn("the password is in the list of processes, and perhaps in your shell's history")
	}
	if password == "" {
		return usageError("the password is empty")
	}
	secret, err := auth.NewSCRAMSecret(password, c.Iterations)
	if err != nil {
		return fmt.Errorf("make the verifier: %w", err)
	}
	env.UI.Printf("%s\n", secret.Text())
	return nil
}

// readPassword asks for the password, twice, on a terminal, and reads a line elsewhere.
func readPassword(env *Env) (string, error) {
	f, ok := env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(env.Stdin, maxPassword+1)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if len(line) > maxPassword {
			return "", usageError("the password is longer than %d bytes", maxPassword)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(env.UI.Stderr(), prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(env.UI.Stderr())
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return string(b), nil
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("Again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", usageError("the passwords differ")
	}
	return first, nil
}
