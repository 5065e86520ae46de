package emscripten

import "net"

// networkCalls knows numeric addresses, which pg_hba.conf is read with, and no sockets:
// servers and clients talk through their read and write callbacks. A Process that is a
// client gets descriptors that pass for sockets.
func networkCalls() map[string]Call {
	const eaiNoname, eaiSystem = -2, -11
	calls := map[string]Call{
		"getaddrinfo": func(p *Process, s []uint64) {
			ip := net.IP(nil)
			if uint32(s[0]) != 0 {
				ip = net.ParseIP(p.String(uint32(s[0])))
			}
			if ip == nil {
				result(s, eaiNoname)
				return
			}
			socktype := uint32(1) // SOCK_STREAM
			if uint32(s[2]) != 0 {
				if t := p.u32(uint32(s[2]) + 8); t != 0 {
					socktype = t
				}
			}
			// struct addrinfo (32 bytes) and the address behind it in one allocation, as
			// musl's freeaddrinfo expects.
			info := uint32(p.Guest.Call("calloc", 96, 1))
			if info == 0 {
				result(s, eaiSystem)
				return
			}
			const afInet, afInet6, ipprotoTCP = 2, 10, 6
			family, size, addr := uint32(afInet), uint32(16), info+32
			if v4 := ip.To4(); v4 != nil {
				copy(p.view(addr+4, 4), v4)
			} else {
				family, size = afInet6, 28
				copy(p.view(addr+8, 16), ip.To16())
			}
			le.PutUint16(p.view(addr, 2), uint16(family))
			for i, v := range []uint32{family, socktype, ipprotoTCP, size, addr} {
				p.putU32(info+4+uint32(i)*4, v)
			}
			p.putU32(uint32(s[3]), info)
			result(s, 0)
		},
		"getnameinfo": func(_ *Process, s []uint64) { result(s, eaiNoname) },
	}
	calls["__syscall_socket"] = func(p *Process, s []uint64) {
		if !p.Client {
			nosys(p, s)
			return
		}
		result(s, int32(p.install(&description{dev: null, path: "socket"}, 0)))
	}
	for _, name := range []string{"bind", "listen", "accept4", "connect", "recvfrom", "sendto"} {
		calls["__syscall_"+name] = nosys
	}
	return calls
}
