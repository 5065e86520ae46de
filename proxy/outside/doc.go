// Package outside tests the proxy as its users have it: pgx-dev as a process of its own, real
// servers behind it, real clients, and whatever can be done to it from without. It holds
// nothing but tests.
package outside
