package native

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Version is a PostgreSQL release: 17.10, 9.6.3, 18beta1, 19devel. The zero value is no
// version. Versions are comparable with ==.
type Version struct {
	num int    // as server_version_num: 170010, 90603
	pre string // "devel", "alpha1", "beta2", "rc1"; empty for a release
}

// versionText matches what `postgres --version` and PG_VERSION call a version.
var versionText = regexp.MustCompile(`^([1-9]\d?)(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?(devel|(?:alpha|beta|rc)\d+)?$`)

// ParseVersion reads a release number as server_version reports it. Before 10 the first
// two numbers are the major version, from 10 on only the first is. Missing numbers are 0.
func ParseVersion(s string) (Version, error) {
	m := versionText.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("%q is not a PostgreSQL version (17.10, 9.6.3 and 18beta1 are)", s)
	}
	// The expression admits at most three digits, so Atoi cannot fail but on "".
	n := [3]int{}
	for i, t := range m[1:4] {
		n[i], _ = strconv.Atoi(t)
	}
	v := Version{pre: m[4]}
	switch {
	case n[0] < 10:
		v.num = n[0]*10000 + n[1]*100 + n[2]
	case m[3] != "":
		return Version{}, fmt.Errorf("%q is not a PostgreSQL version: from 10 on there are two numbers", s)
	default:
		v.num = n[0]*10000 + n[1]
	}
	return v, nil
}

// parseVersionOutput reads what `postgres --version` prints:
// "postgres (PostgreSQL) 15.4 (Debian 15.4-1)".
func parseVersionOutput(out string) (Version, error) {
	fields := strings.Fields(out)
	for i, f := range fields {
		if strings.HasPrefix(f, "(PostgreSQL") && i+1 < len(fields) {
			return ParseVersion(fields[i+1])
		}
	}
	return Version{}, fmt.Errorf("no PostgreSQL version in %q", strings.TrimSpace(out))
}

// IsZero reports whether v is no version.
func (v Version) IsZero() bool { return v == Version{} }

// Num returns the version as server_version_num does: 170010, 90603.
func (v Version) Num() int { return v.num }

// Major returns the part that decides about compatibility of data directories, as
// PG_VERSION holds it: "17", "9.6".
func (v Version) Major() string {
	if v.num < 100000 {
		return fmt.Sprintf("%d.%d", v.num/10000, v.num/100%100)
	}
	return strconv.Itoa(v.num / 10000)
}

// String returns the version as server_version does.
func (v Version) String() string {
	switch {
	case v.IsZero():
		return "unknown"
	case v.pre != "":
		return v.Major() + v.pre
	case v.num < 100000:
		return fmt.Sprintf("%s.%d", v.Major(), v.num%100)
	default:
		return fmt.Sprintf("%s.%d", v.Major(), v.num%10000)
	}
}

// Compare orders versions by age: 9.6.3 < 15.4 < 18devel < 18beta1 < 18rc1 < 18.0.
func (v Version) Compare(w Version) int {
	if c := cmp.Compare(v.num, w.num); c != 0 {
		return c
	}
	vk, vn := preRank(v.pre)
	wk, wn := preRank(w.pre)
	return cmp.Or(cmp.Compare(vk, wk), cmp.Compare(vn, wn))
}

// MarshalText returns String.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is ParseVersion.
func (v *Version) UnmarshalText(text []byte) error {
	w, err := ParseVersion(string(text))
	if err == nil {
		*v = w
	}
	return err
}

// preRank orders the names of prereleases; a release comes after all of them.
func preRank(pre string) (kind, n int) {
	for i, name := range []string{"devel", "alpha", "beta", "rc"} {
		if rest, ok := strings.CutPrefix(pre, name); ok {
			n, _ = strconv.Atoi(rest)
			return i, n
		}
	}
	return 4, 0
}
