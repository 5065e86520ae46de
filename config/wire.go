package config

import (
	"errors"
	"time"
)

// Wire says how "wire serve" lets clients in. The zero value is the default.
type Wire struct {
	// HBA is a file of rules in pg_hba.conf's syntax that decide who is let in, and how.
	// Default: everybody of this user on a Unix socket; over TCP by SCRAM with a password.
	HBA string `toml:"hba"`
	// Ident is a file of name maps in pg_ident.conf's syntax, for the rules of hba.
	Ident string `toml:"ident"`
	// User is the role that has a password. Default: postgres.
	User string `toml:"user"`
	// PasswordFile is a file whose first line is the password. Default: one is generated for
	// each run.
	PasswordFile string `toml:"password_file"`
	// TLSCert is a file with the server's certificate, and those that lead to its authority,
	// in PEM. Default: no TLS.
	TLSCert string `toml:"tls_cert"`
	// TLSKey is a file with the certificate's private key in PEM.
	TLSKey string `toml:"tls_key"`
	// TLSClientCA is a file with the authorities of client certificates in PEM, for hba rules
	// that demand one.
	TLSClientCA string `toml:"tls_client_ca"`
	// RequireTLS refuses TCP clients without TLS. Default: false.
	RequireTLS bool `toml:"require_tls"`
	// MaxConns limits the connections at one time. Default: 0, no limit.
	MaxConns int `toml:"max_conns"`
	// MaxConnsPerAddr limits the connections of one address on TCP. Default: 0, no limit.
	MaxConnsPerAddr int `toml:"max_conns_per_addr"`
	// MaxMessage limits a message of a client, in bytes. Default: 0, which is 64 MiB.
	MaxMessage int `toml:"max_message"`
	// StartupTimeout is how long a client may take to be authenticated. Default: 0, which is
	// one minute.
	StartupTimeout time.Duration `toml:"startup_timeout"`
	// IdleTimeout is how long a client may be silent. Default: 0, no limit.
	IdleTimeout time.Duration `toml:"idle_timeout"`
	// WriteTimeout is how long a client may take to receive a block of an answer. Default: 0,
	// no limit.
	WriteTimeout time.Duration `toml:"write_timeout"`
}

// Validate returns everything that is wrong with the section.
func (w Wire) Validate() error {
	var errs []error
	if (w.TLSCert == "") != (w.TLSKey == "") {
		errs = append(errs, errors.New("tls_cert and tls_key go together"))
	}
	if w.RequireTLS && w.TLSCert == "" {
		errs = append(errs, errors.New("require_tls needs tls_cert and tls_key"))
	}
	if w.TLSClientCA != "" && w.TLSCert == "" {
		errs = append(errs, errors.New("tls_client_ca needs tls_cert and tls_key"))
	}
	if w.Ident != "" && w.HBA == "" {
		errs = append(errs, errors.New("ident is for the rules of hba"))
	}
	if w.MaxConns < 0 || w.MaxConnsPerAddr < 0 || w.MaxMessage < 0 || w.StartupTimeout < 0 || w.IdleTimeout < 0 || w.WriteTimeout < 0 {
		errs = append(errs, errors.New("limits must not be negative"))
	}
	return errors.Join(errs...)
}
