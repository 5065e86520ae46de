// Package recipe says what a pool's template is made from, and makes it: a dump, then
// migrations, then a command.
//
// A [Digest] watches the files; the hash of all that goes into a template is its key, so
// that one is made anew when something changes and never without. [Recipe.Fill] carries
// the recipe out in a database of any server.
package recipe
