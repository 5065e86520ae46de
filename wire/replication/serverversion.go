package replication

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseVersion turns a server_version such as "15.20 (Debian 15.20-0+deb12u1)", "9.6.24",
// "18beta1" or "17devel" into the number that server_version_num has.
func ParseVersion(s string) (int, error) {
	number := s
	if i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		number = s[:i]
	}
	var n [3]int
	parts := strings.SplitN(strings.TrimSuffix(number, "."), ".", 3)
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v > 9999 {
			return 0, fmt.Errorf("server version %.40q is not understood", s)
		}
		n[i] = v
	}
	if n[0] >= 10 {
		return n[0]*10000 + n[1], nil
	}
	return n[0]*10000 + n[1]*100 + n[2], nil
}
