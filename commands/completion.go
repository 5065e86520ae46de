package commands

import (
	_ "embed"
)

// completionCmd prints a script that makes a shell complete pgx-dev's command lines. The
// scripts are small: each asks "pgx-dev __complete", which walks kong's own model, so that
// completion is never behind the commands.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

var (
	//go:embed completion/bash.sh
	bashCompletion string
	//go:embed completion/zsh.sh
	zshCompletion string
	//go:embed completion/fish.fish
	fishCompletion string
)

// Help says how to install the script.
func (c *completionCmd) Help() string {
	return `To use it now and in each new shell, put this into the file that the shell reads first:

  bash:  source <(pgx-dev completion bash)                  # ~/.bashrc

  zsh:   source <(pgx-dev completion zsh)                   # ~/.zshrc, after compinit

  fish:  pgx-dev completion fish | source                   # ~/.config/fish/config.fish`
}

// Run prints it.
func (c *completionCmd) Run(env *Env) error {
	switch c.Shell {
	case "bash":
		env.UI.Printf("%s", bashCompletion)
	case "zsh":
		env.UI.Printf("%s", zshCompletion)
	case "fish":
		env.UI.Printf("%s", fishCompletion)
	}
	return nil
}
