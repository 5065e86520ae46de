// Package script runs SQL files: it splits a text into statements the way psql does
// (src/fe_utils/psqlscan.l), feeds COPY … FROM stdin the data that follows it, and says at
// which line of the file an error happened.
package script
