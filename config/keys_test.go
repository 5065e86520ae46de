package config

import (
	"slices"
	"strings"
	"testing"
)

// TestValues asks for the words of keys, and sets each of those that a key has.
func TestValues(t *testing.T) {
	for key, want := range map[string][]string{
		"cluster.spare":                         {"none", "copied", "running"},
		"cluster.engine":                        {"native", "wasm"},
		"cluster.fast":                          {"true", "false"},
		"runtime.auto":                          {"true", "false"},
		"proxy.general.load_balancing_strategy": {"random", "round_robin", "least_active_connections", "weighted_round_robin"},
		"proxy.general.two_phase_commit":        {"true", "false"},
		"cluster.pg":                            nil,
		"cluster.idle":                          nil,
		"no.such.key":                           nil,
		"cluster":                               nil,
	} {
		if got := Values(key); !slices.Equal(got, want) {
			t.Errorf("%s has the values %q, want %q", key, got, want)
		}
	}
	alone := map[string]string{ // words that are known, and refused by themselves
		"wire.require_tls=true":                    "needs tls_cert and tls_key",
		"proxy.general.tls_client_required=true":   "needs tls_certificate",
		"proxy.general.auth_type=hba":              "auth_type hba needs it",
		"proxy.general.auth_type=ldap":             "auth_type ldap needs them",
		"proxy.general.auth_type=external_token":   "not supported",
		"proxy.rewrite.shard_key=rewrite_omni":     "for primary_key only",
		"proxy.rewrite.split_inserts=rewrite_omni": "for primary_key only",
	}
	checked := 0
	for _, key := range Keys() {
		for _, word := range Values(key) {
			checked++
			_, err := tryLoad(t, "", nil, []string{key + "=" + word})
			switch reason, refused := alone[key+"="+word]; {
			case refused && (err == nil || !strings.Contains(err.Error(), reason)):
				t.Errorf("%s=%s: %v, want %q", key, word, err, reason)
			case !refused && err != nil:
				t.Errorf("%s=%s: %v", key, word, err)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d values are offered", checked)
	}
}
