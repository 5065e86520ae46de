// Package auth holds PostgreSQL's authentication exchanges as state machines over bytes.
//
// Nothing here reads or writes a connection: a machine is given the body of one message and
// returns the body of the next, so the same code serves a listener, a proxy's two sides and a
// test. Both sides of every exchange are here:
//
//	method               server                     client
//	cleartext            VerifyPassword             the password itself
//	md5                  VerifyMD5                  MD5Response
//	SCRAM-SHA-256(-PLUS) SCRAMServer                SCRAMClient
//	OAUTHBEARER          OAuthServer                OAuthClient
//	certificate          CertificateName            crypto/tls
//
// Flow of SCRAM, which is RFC 5802 as src/backend/libpq/auth-scram.c narrows it:
//
//	client  n,,n=,r=<nonce>                                   client-first
//	server  r=<nonce><more>,s=<salt>,i=<iterations>           server-first
//	client  c=<gs2 header and binding>,r=<nonce>,p=<proof>    client-final
//	server  v=<signature>                                     server-final
//
// Secrets are what pg_authid.rolpassword holds: see [ParseSecret]. Which method a connection
// must use is the business of package hba.
//
// Every failure is an [*Error]. Its Message and Detail are what PostgreSQL would tell the
// client and reveal no secret; its Log is for the server's own log only.
package auth
