package shell

// help is what \? shows.
const help = `Statements end with a semicolon.

  \g [FILE]                send the statement, or the one before (results to FILE)
  \gx [FILE]               as \g, but expanded
  \e [FILE]                edit the statement, or FILE, with $VISUAL or $EDITOR
  \p, \r                   show, clear the statement
  \q                       quit

  \d[S]                    list tables, views and sequences (S: system objects too)
  \d NAME                  describe a table, view, index, sequence or type
  \dt \dv \dm \di \ds \dE  list tables, views, materialized views, indexes, sequences, foreign tables
  \df \da                  list functions, aggregates
  \dn \dT \du \dx          list schemas, types, roles, extensions
  \l                       list databases
                           each of them takes a PATTERN, with * and ?

  \c [DB [USER]]           connect to another database
  \conninfo                show the connection

  \i FILE                  run a script
  \o [FILE]                send results to FILE, or to the screen again
  \copy … FROM|TO FILE     COPY with a file of yours (or stdin, stdout, PROGRAM 'command')
  \echo TEXT               write TEXT (\qecho: to where results go, \warn: to stderr)
  \! [COMMAND]             run a command, or a shell

  \timing [on|off]         show how long statements take
  \x [on|off|auto]         expanded output
  \a, \t                   unaligned output, rows only
  \pset [NAME [VALUE]]     format (table, unaligned, csv, json, jsonl), null, fieldsep,
                           expanded, tuples_only, footer

For anything else there is PostgreSQL's psql.
`
