package commands

// wireCommands are about the protocol itself.
type wireCommands struct {
	Wire struct {
		Tap wireTapCmd `cmd:"" help:"Show every message between clients and a server."`
	} `cmd:"" group:"wire" help:"Watch, stream and serve the PostgreSQL protocol."`
}
