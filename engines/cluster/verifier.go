package cluster

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/pgx-dev/pgx-dev/engines"
)

// verifierFor returns what a server stores for a password, so that the password itself is
// in no statement that the server might log.
func verifierFor(info engines.Info, password string) (string, error) {
	if info.VersionNum < 100000 { // SCRAM came with PostgreSQL 10
		sum := md5.Sum([]byte(password + info.User))
		return "md5" + hex.EncodeToString(sum[:]), nil
	}
	// scram_build_secret in src/common/scram-common.c; our passwords are ASCII, which
	// SASLprep leaves alone.
	const iterations = 4096 // SCRAM_SHA_256_DEFAULT_ITERATIONS
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac("Server Key"))), nil
}
