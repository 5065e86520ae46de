// Package cluster lets any number of processes share one server: the first user starts
// it, the last one stops or destroys it, however each of them ends.
package cluster
