package auth

import "strings"

// MD5Response computes what a client answers to AuthenticationMD5Password: "md5" and the md5
// of the md5 of password and role name, and the salt (protocol-flow, section 55.2.1).
func MD5Response(user, password string, salt [4]byte) string {
	return saltedMD5(NewMD5Secret(user, password).MD5, salt)
}

// MD5HashResponse is MD5Response for who has only what the server has: the 32 digits of
// Secret.MD5.
func MD5HashResponse(hash string, salt [4]byte) string { return saltedMD5(hash, salt) }

func saltedMD5(inner string, salt [4]byte) string {
	return "md5" + md5hex(append([]byte(inner), salt[:]...))
}

// VerifyMD5 reports whether response answers the salt for this secret. A SCRAM secret cannot
// be checked this way: PostgreSQL then asks for SCRAM although the rule says md5, and so must
// the caller (see CanMD5).
func (s Secret) VerifyMD5(user, response string, salt [4]byte) bool {
	inner := s.MD5
	switch s.Kind {
	case PlainSecret:
		inner = NewMD5Secret(user, s.Plain).MD5
	case MD5Secret:
	default:
		// Spend the same time as a real check would.
		inner = strings.Repeat("0", 32)
		equal(response, saltedMD5(inner, salt))
		return false
	}
	return equal(response, saltedMD5(inner, salt)) && !s.mock
}

// CanMD5 reports whether the secret can be checked by the md5 exchange.
func (s Secret) CanMD5() bool { return s.Kind == MD5Secret || s.Kind == PlainSecret }

// CanSCRAM reports whether the secret can be checked by SCRAM; an md5 hash cannot.
func (s Secret) CanSCRAM() bool { return s.Kind == SCRAMSecret || s.Kind == PlainSecret }
