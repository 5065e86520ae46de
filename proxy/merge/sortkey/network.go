package sortkey

import "net/netip"

// appendInet orders by family, the common bits of both networks, the length of the prefix,
// the whole address (network_cmp_internal). A byte for each network bit and an end that is
// below them do that.
func appendInet(dst, address []byte, bits int) []byte {
	dst = append(dst, byte(len(address)))
	for i := range bits {
		dst = append(dst, 1+address[i/8]>>(7-i%8)&1)
	}
	dst = append(dst, 0)
	return append(dst, address...)
}

func inetText(dst, v []byte) ([]byte, error) {
	text := string(v)
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return dst, malformed("inet", v)
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	// A v4 address in v6 form (::ffff:1.2.3.4) stays one of 16 bytes.
	return appendInet(dst, prefix.Addr().AsSlice(), prefix.Bits()), nil
}

// inetBinary reads family, bits, is_cidr, length, address (network_send).
func inetBinary(dst, v []byte) ([]byte, error) {
	if len(v) != 8 && len(v) != 20 || int(v[3]) != len(v)-4 || int(v[1]) > 8*int(v[3]) {
		return dst, malformed("inet", v)
	}
	return appendInet(dst, v[4:], int(v[1])), nil
}
