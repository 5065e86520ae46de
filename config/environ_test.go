package config

import (
	"errors"
	"strings"
	"testing"
)

func TestUnknownEnv(t *testing.T) {
	names := []string{
		"PGX_DEV_RUNTIME_AUTO", "PGX_DEV_CLUSTER_PG", "PGX_DEV_CLUSTERS_MY_TEST_INITDB", "PGX_DEV_CLUSTERS_MAIN_PG",
		"PGX_DEV_CLUSTERS_A_B_C_IDLE", "PGX_DEV_RUNTIME_INITDB_ARGS", "PGX_DEV_CLUSTER_PROT", "PGX_DEV_CLUSTERS_MAIN_PROT",
		"PGX_DEV_CACHE", "PGX_DEV_HELLO_WORLD", "PGDATABASE", "PGX_DEV_RUNTIME_", "PGX_DEV_CLUSTERS_X",
		"PGX_DEV_LEASE_ID", "PGX_DEV_LEASE_PID", "PGX_DEV_LEASE_URL",
	}
	err := errors.Join(unknownEnv(typeOfFile(), names)...)
	want := []string{
		"$PGX_DEV_CLUSTERS_MAIN_PROT: no such key; did you mean PGX_DEV_CLUSTERS_MAIN_PORT?",
		"$PGX_DEV_CLUSTERS_MY_TEST_INITDB: no such key; did you mean PGX_DEV_CLUSTERS_MY_TEST_INIT?",
		"$PGX_DEV_CLUSTERS_X: no such key",
		"$PGX_DEV_CLUSTER_PROT: no such key; did you mean PGX_DEV_CLUSTER_PORT?",
		"$PGX_DEV_RUNTIME_: no such key; did you mean PGX_DEV_RUNTIME_AUTO?",
	}
	if got := err.Error(); got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}
