package engines_test

import (
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
)

func TestCheckParams(t *testing.T) {
	for _, tt := range []struct{ name, value, mention string }{
		{"work_mem", "4MB", ""},
		{"my_extension.a$b", "", ""},
		{"", "4MB", "without the name"},
		{"work mem", "4MB", "not the name of a setting"},
		{"-c", "4MB", "not the name of a setting"},
		{"port", "1", "--tcp"},
		{"Listen_Addresses", "*", "--tcp"},
		{"data_directory", "/", "--dir"},
		{"unix_socket_directories", "/", "XDG_RUNTIME_DIR"},
		{"logging_collector", "on", "pgx-dev logs"},
		{"work_mem", "4\x00MB", "zero byte"},
	} {
		err := engines.CheckParams(map[string]string{"fsync": "off", tt.name: tt.value})
		if (err == nil) != (tt.mention == "") || err != nil && !strings.Contains(err.Error(), tt.mention) {
			t.Errorf("%q=%q: %v; want it to mention %q", tt.name, tt.value, err, tt.mention)
		}
	}
}
