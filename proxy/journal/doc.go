// Package journal writes the proxy's log as its configuration says: as text or JSON, equal lines
// counted, and the queries of clients to a file of their own.
package journal
