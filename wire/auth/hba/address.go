package hba

import (
	"context"
	"net/netip"
	"strings"
)

// An addressSpec is a rule's address field.
type addressSpec struct {
	all      bool
	samehost bool
	samenet  bool
	host     string // a host name, or a domain that begins with a dot
	prefix   netip.Prefix
}

// parseAddress reads all, samehost, samenet, an address with a prefix length or a mask in the
// next field, or a host name.
func parseAddress(l line, t token, mask func() (token, error)) (addressSpec, error) {
	switch {
	case t.keyword("all"):
		return addressSpec{all: true}, nil
	case t.keyword("samehost"):
		return addressSpec{samehost: true}, nil
	case t.keyword("samenet"):
		return addressSpec{samenet: true}, nil
	}
	ip, bits, hasBits := strings.Cut(t.text, "/")
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		if hasBits {
			return addressSpec{}, l.errorf("specifying both host name and CIDR mask is invalid: %q", t.text)
		}
		if strings.ContainsAny(t.text, ": \t") || t.text == "" || t.text == "." || strings.Trim(t.text, "0123456789.") == "" {
			return addressSpec{}, l.errorf("invalid IP address %q", t.text)
		}
		return addressSpec{host: t.text}, nil
	}
	if hasBits {
		prefix, err := netip.ParsePrefix(addr.WithZone("").String() + "/" + bits)
		if err != nil {
			return addressSpec{}, l.errorf("invalid CIDR mask in address %q", t.text)
		}
		return addressSpec{prefix: prefix.Masked()}, nil
	}
	m, err := mask()
	if err != nil {
		return addressSpec{}, err
	}
	maskAddr, err := netip.ParseAddr(m.text)
	if err != nil {
		return addressSpec{}, l.errorf("invalid IP mask %q; write the address as %s/%d for one host", m.text, ip, addr.BitLen())
	}
	if maskAddr.Is4() != addr.Is4() {
		return addressSpec{}, l.errorf("IP address and mask do not match")
	}
	ones, ok := maskBits(maskAddr)
	if !ok {
		return addressSpec{}, l.errorf("invalid IP mask %q: its ones are not all in front", m.text)
	}
	return addressSpec{prefix: netip.PrefixFrom(addr.WithZone(""), ones).Masked()}, nil
}

func maskBits(mask netip.Addr) (ones int, ok bool) {
	zero := false
	for _, b := range mask.AsSlice() {
		for i := 7; i >= 0; i-- {
			switch one := b>>i&1 == 1; {
			case one && zero:
				return 0, false
			case one:
				ones++
			default:
				zero = true
			}
		}
	}
	return ones, true
}

// matches asks whether a client's address fits. Host names are looked up both ways, so that a
// client cannot choose its name by its own reverse zone (check_hostname).
func (a addressSpec) matches(ctx context.Context, addr netip.Addr, env Env) bool {
	switch {
	case a.all:
		return true
	case !addr.IsValid():
		return false
	case a.samehost, a.samenet:
		if env.Interfaces == nil {
			return false
		}
		own, err := env.Interfaces()
		if err != nil {
			return false
		}
		for _, p := range own {
			if a.samehost {
				p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
			}
			if p.Masked().Contains(addr) {
				return true
			}
		}
		return false
	case a.host != "":
		return a.hostMatches(ctx, addr, env)
	}
	return a.prefix.Contains(addr)
}

func (a addressSpec) hostMatches(ctx context.Context, addr netip.Addr, env Env) bool {
	if env.Resolver == nil {
		return false
	}
	names, err := env.Resolver.LookupAddr(ctx, addr.String())
	if err != nil {
		return false
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, ".")
		if !hostNameFits(a.host, name) {
			continue
		}
		back, err := env.Resolver.LookupNetIP(ctx, "ip", name)
		if err != nil {
			continue
		}
		for _, b := range back {
			if unmap(b) == addr {
				return true
			}
		}
	}
	return false
}

func hostNameFits(pattern, name string) bool {
	if strings.HasPrefix(pattern, ".") {
		return len(name) > len(pattern) && strings.EqualFold(name[len(name)-len(pattern):], pattern)
	}
	return strings.EqualFold(pattern, name)
}
