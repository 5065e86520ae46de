package pgserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
)

// TLSFiles is a server's certificate in files, which may be renewed while the server runs:
// each handshake looks whether they have changed. Files that cannot be used, as while they
// are being written, leave the certificate as it was. Its fields must not change once Config
// has been called; its methods may be called by several goroutines.
type TLSFiles struct {
	Cert string // PEM: the certificate, then those that lead to its authority
	Key  string // PEM: the certificate's private key
	// ClientCA is a PEM file with the authorities of client certificates. "" asks for none;
	// else a client may show one, which is verified.
	ClientCA string
	// ErrorLog is told of renewals, and of files that cannot be used. nil discards it.
	ErrorLog *slog.Logger

	mu      sync.Mutex
	seen    []fs.FileInfo // of the files when they were last tried
	current *tls.Config
	failed  bool
}

// Config loads the files and returns a configuration for Server.TLS. An error names the file.
func (f *TLSFiles) Config() (*tls.Config, error) {
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return f.latest(), nil
	}}, nil
}

// Reload loads the files whether they have changed or not. After an error the certificate is
// what it was.
func (f *TLSFiles) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.load(f.stat())
}

// latest returns the configuration of the files as they are, or as they last were good.
func (f *TLSFiles) latest() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.stat()
	changed := f.changed(now)
	if !changed && !f.failed {
		return f.current
	}
	// What has failed is tried again even if nothing seems to have changed: a clock's tick
	// may be too coarse to show that a file was still being written.
	before := f.failed
	switch err := f.load(now); {
	case err == nil:
		f.log().Info("the certificate was renewed", "file", f.Cert)
	case changed || !before:
		f.log().Warn("the certificate was not renewed", "error", err)
	}
	return f.current
}

func (f *TLSFiles) log() *slog.Logger {
	if f.ErrorLog == nil {
		return slog.New(slog.DiscardHandler)
	}
	return f.ErrorLog
}

// stat looks at the files; nil is one that is not there.
func (f *TLSFiles) stat() []fs.FileInfo {
	var out []fs.FileInfo
	for _, path := range []string{f.Cert, f.Key, f.ClientCA} {
		fi, err := os.Stat(path)
		if err != nil {
			fi = nil
		}
		out = append(out, fi)
	}
	return out
}

func (f *TLSFiles) changed(now []fs.FileInfo) bool {
	for i, fi := range now {
		old := f.seen[i]
		if (fi == nil) != (old == nil) {
			return true
		}
		if fi != nil && (!os.SameFile(fi, old) || !fi.ModTime().Equal(old.ModTime()) || fi.Size() != old.Size()) {
			return true
		}
	}
	return false
}

func (f *TLSFiles) load(seen []fs.FileInfo) error {
	f.seen, f.failed = seen, true
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return fmt.Errorf("load the certificate: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	if f.ClientCA != "" {
		pem, err := os.ReadFile(f.ClientCA)
		if err != nil {
			return fmt.Errorf("load the authorities of clients: %w", err)
		}
		cfg.ClientCAs, cfg.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return errors.New("there is no certificate in " + f.ClientCA)
		}
	}
	f.current, f.failed = cfg, false
	return nil
}
