package commands

// wireCommands are about the protocol itself.
type wireCommands struct {
	Wire struct {
		Tap       wireTapCmd       `cmd:"" help:"Show every message between clients and a server."`
		Replicate wireReplicateCmd `cmd:"" help:"Stream the changes of a database as lines of JSON."`
		Serve     struct {
			Sqlite wireSqliteCmd `cmd:"" help:"Serve a SQLite database to PostgreSQL's clients."`
			Csv    wireCsvCmd    `cmd:"" help:"Serve CSV files to PostgreSQL's clients, each as a table."`
		} `cmd:"" help:"Serve other data to PostgreSQL's clients."`
	} `cmd:"" group:"wire" help:"Watch, stream and serve the PostgreSQL protocol."`
}
