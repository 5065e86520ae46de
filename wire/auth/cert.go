package auth

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A CertField says which name of a client certificate is compared; pg_hba.conf's clientname.
type CertField uint8

// The values of clientname.
const (
	CertCN CertField = iota // the subject's common name
	CertDN                  // the whole subject, as RFC 2253 writes it
)

// CertificateName returns the name in the client certificate of a connection whose chain
// crypto/tls has verified. It is an error when there is no verified certificate or when the
// name is missing or contains a zero byte.
func CertificateName(cs *tls.ConnectionState, field CertField) (string, error) {
	if cs == nil || len(cs.VerifiedChains) == 0 || len(cs.PeerCertificates) == 0 {
		return "", errors.New("the client showed no valid certificate")
	}
	cert := cs.PeerCertificates[0]
	name := cert.Subject.CommonName
	if field == CertDN {
		dn, err := SubjectDN(cert)
		if err != nil {
			return "", err
		}
		name = dn
	}
	switch {
	case name == "":
		return "", errors.New("the client's certificate has no name to compare")
	case strings.IndexByte(name, 0) >= 0: // a name cut short by C code elsewhere
		return "", errors.New("the client's certificate name contains an embedded null")
	}
	return name, nil
}

// attributeNames are the short names OpenSSL prints in a distinguished name.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C",
	"2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street", "2.5.4.10": "O",
	"2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.17": "postalCode", "2.5.4.42": "GN",
	"2.5.4.46": "dnQualifier", "0.9.2342.19200300.100.1.1": "UID",
	"0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}

// SubjectDN writes a certificate's subject as PostgreSQL compares it with clientname=DN: RFC
// 2253 order and escapes, OpenSSL's attribute names.
func SubjectDN(cert *x509.Certificate) (string, error) {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &seq); err != nil || len(rest) > 0 {
		return "", errors.New("the client's certificate has an unreadable subject")
	}
	parts := make([]string, 0, len(seq))
	for _, s := range slices.Backward(seq) { // RFC 2253 section 2.1: last first
		var set []string
		for _, atv := range slices.Backward(s) { // OpenSSL turns these around, too
			set = append(set, dnAttribute(atv))
		}
		parts = append(parts, strings.Join(set, "+"))
	}
	return strings.Join(parts, ","), nil
}

func dnAttribute(atv pkix.AttributeTypeAndValue) string {
	oid := atv.Type.String()
	if name, ok := attributeNames[oid]; ok {
		oid = name
	}
	value, ok := atv.Value.(string)
	if !ok {
		der, err := asn1.Marshal(atv.Value)
		if err != nil {
			return oid + "="
		}
		return oid + "=#" + strings.ToUpper(hex.EncodeToString(der))
	}
	var b strings.Builder
	for i, r := range value {
		first, last := i == 0, i == len(value)-1
		switch {
		case strings.ContainsRune(",+\"\\<>;", r), r == '#' && first, r == ' ' && (first || last):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7F:
			fmt.Fprintf(&b, "\\%02X", r)
		default:
			b.WriteRune(r)
		}
	}
	return oid + "=" + b.String()
}
