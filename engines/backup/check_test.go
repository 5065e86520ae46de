package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
)

func TestCheck(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *native.Engine) {
		dir, into := filepath.Join(t.TempDir(), "main"), filepath.Join(t.TempDir(), "bk")
		for _, tt := range []struct {
			params map[string]string
			want   string
		}{
			{map[string]string{"max_wal_senders": "0"}, "max_wal_senders is 0"},
			{map[string]string{"max_wal_senders": "0", "wal_level": "minimal"}, "wal_level is minimal"},
			{nil, ""},
		} {
			srv := start(t, e, engines.Spec{Dir: dir, Params: tt.params})
			err := Check(t.Context(), srv, into)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("with %v: %v, want %q", tt.params, err, tt.want)
			}
			if _, err := os.Stat(into); tt.want != "" && err == nil {
				t.Errorf("with %v the backup directory was made", tt.params)
			}
			stop(t, srv)
		}

		// Another cluster's directory, and one for something else.
		other := start(t, e, engines.Spec{Dir: filepath.Join(t.TempDir(), "other")})
		if err := Check(t.Context(), other, into); err == nil || !strings.Contains(err.Error(), "holds the backups of the cluster in "+dir) {
			t.Errorf("another cluster's backup directory: %v", err)
		}
		if err := Check(t.Context(), other, filepath.Dir(dir)); err == nil || !strings.Contains(err.Error(), "is no backup directory") {
			t.Errorf("no backup directory: %v", err)
		}
		space := filepath.Join(t.TempDir(), "space")
		if err := os.Mkdir(space, 0o700); err != nil {
			t.Fatal(err)
		}
		exec(t, other, "CREATE TABLESPACE s LOCATION '"+space+"'")
		fresh := filepath.Join(t.TempDir(), "fresh")
		if err := Check(t.Context(), other, fresh); !errors.Is(err, engines.ErrUnsupported) || !strings.Contains(err.Error(), space) {
			t.Errorf("with a tablespace: %v", err)
		}
		copied := filepath.Join(t.TempDir(), "copy")
		if _, err := Clone(t.Context(), other, copied, false, nil); !errors.Is(err, engines.ErrUnsupported) {
			t.Errorf("clone with a tablespace: %v", err)
		}
		if _, err := os.Lstat(copied); err == nil {
			t.Error("it left its copy")
		}
	})
}
