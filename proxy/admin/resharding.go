package admin

import "github.com/pgx-dev/pgx-dev/wire/pgserver"

// What PgDog shows of data that moves between shards. The proxy moves none, so that there is nothing to
// see; tools that look find the columns.

// none has columns and no rows.
func none(cols ...pgserver.Column) func(a *answer) error {
	return func(a *answer) error {
		var list []column[struct{}]
		for _, c := range cols {
			list = append(list, column[struct{}]{c, func(*struct{}) any { return nil }})
		}
		return table(a, list, func() []struct{} { return nil })
	}
}

func showTasks(a *answer) error {
	return none(pgserver.Int8("id"), pgserver.Text("type"), pgserver.Text("started_at"), pgserver.Text("elapsed"), pgserver.Int8("elapsed_ms"))(a)
}

func showTableCopies(a *answer) error {
	return none(
		pgserver.Text("schema"), pgserver.Text("table"), pgserver.Text("status"), pgserver.Int8("rows"), pgserver.Text("rows_human"),
		pgserver.Int8("bytes"), pgserver.Text("bytes_human"), pgserver.Int8("bytes_per_sec"), pgserver.Text("bytes_per_sec_human"),
		pgserver.Text("elapsed"), pgserver.Int8("elapsed_ms"), pgserver.Text("sql"),
	)(a)
}

func showSchemaSync(a *answer) error {
	return none(
		pgserver.Text("database"), pgserver.Text("user"), pgserver.Int8("shard"), pgserver.Text("kind"), pgserver.Text("sync_state"),
		pgserver.Text("started_at"), pgserver.Text("elapsed"), pgserver.Int8("elapsed_ms"),
		pgserver.Text("table_schema"), pgserver.Text("table_name"), pgserver.Text("sql"),
	)(a)
}

func showReplicationSlots(a *answer) error {
	return none(
		pgserver.Text("host"), pgserver.Int8("port"), pgserver.Text("database_name"), pgserver.Text("name"), pgserver.Text("lsn"),
		pgserver.Text("lag"), pgserver.Int8("lag_bytes"), pgserver.Bool("copy_data"),
		pgserver.Text("last_transaction"), pgserver.Int8("last_transaction_ms"),
	)(a)
}
