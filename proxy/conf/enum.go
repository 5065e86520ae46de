package conf

import (
	"fmt"
	"slices"
	"strings"
)

// An UnknownWord is the error for a text that is no word of an enumeration.
type UnknownWord struct {
	Text  string
	Words []string // those there are
}

// Error says which words there are.
func (e *UnknownWord) Error() string {
	return fmt.Sprintf("want one of %s, have %q", strings.Join(e.Words, ", "), e.Text)
}

// known sets an enumeration from text, or says which words there are.
func known[T ~string](v *T, text []byte, words ...T) error {
	if !slices.Contains(words, T(text)) {
		e := &UnknownWord{Text: string(text)}
		for _, w := range words {
			e.Words = append(e.Words, string(w))
		}
		return e
	}
	*v = T(text)
	return nil
}

// A PoolerMode says for how long a client keeps a server connection.
type PoolerMode string

// The pooler modes.
const (
	Transaction PoolerMode = "transaction"
	Session     PoolerMode = "session"
	Statement   PoolerMode = "statement"
)

// UnmarshalText takes the mode's name.
func (m *PoolerMode) UnmarshalText(text []byte) error {
	return known(m, text, Transaction, Session, Statement)
}

// A Transport says how connections are driven.
type Transport string

// The transports.
const (
	TransportAuto      Transport = "auto"
	TransportEpoll     Transport = "epoll"
	TransportGoroutine Transport = "goroutine"
)

// UnmarshalText takes the transport's name.
func (t *Transport) UnmarshalText(text []byte) error {
	return known(t, text, TransportAuto, TransportEpoll, TransportGoroutine)
}

// A Role is what a server does in its database.
type Role string

// The roles.
const (
	Primary Role = "primary"
	Replica Role = "replica"
	// Auto asks the server, again and again.
	Auto Role = "auto"
)

// UnmarshalText takes the role's name.
func (r *Role) UnmarshalText(text []byte) error { return known(r, text, Primary, Replica, Auto) }

// An AuthType is how clients prove who they are.
type AuthType string

// The authentication methods for clients.
const (
	AuthSCRAM AuthType = "scram"
	AuthMD5   AuthType = "md5"
	AuthPlain AuthType = "plain"
	AuthTrust AuthType = "trust"
	// AuthHBA decides by the rules of pgbouncer.auth_hba_file; PgDog has no such thing.
	AuthHBA AuthType = "hba"
	// AuthLDAP asks a directory, by pgbouncer.auth_ldap_options.
	AuthLDAP AuthType = "ldap"
	// AuthExternalToken is for cloud identity providers, which are not supported.
	AuthExternalToken AuthType = "external_token"
)

// UnmarshalText takes the method's name.
func (a *AuthType) UnmarshalText(text []byte) error {
	return known(a, text, AuthSCRAM, AuthMD5, AuthPlain, AuthTrust, AuthHBA, AuthLDAP, AuthExternalToken)
}

// A PassthroughAuth says whether clients' passwords may be handed to the servers, so that
// users need no entry.
type PassthroughAuth string

// The passthrough modes.
const (
	PassthroughDisabled                PassthroughAuth = "disabled"
	PassthroughEnabled                 PassthroughAuth = "enabled" // over TLS only
	PassthroughEnabledPlain            PassthroughAuth = "enabled_plain"
	PassthroughEnabledAllowChange      PassthroughAuth = "enabled_allow_change"
	PassthroughEnabledPlainAllowChange PassthroughAuth = "enabled_plain_allow_change"
)

// UnmarshalText takes the mode's name.
func (p *PassthroughAuth) UnmarshalText(text []byte) error {
	return known(p, text, PassthroughDisabled, PassthroughEnabled, PassthroughEnabledPlain,
		PassthroughEnabledAllowChange, PassthroughEnabledPlainAllowChange)
}

// A LoadBalancing is a strategy to choose one of several servers.
type LoadBalancing string

// The strategies.
const (
	Random                 LoadBalancing = "random"
	RoundRobin             LoadBalancing = "round_robin"
	LeastActiveConnections LoadBalancing = "least_active_connections"
	WeightedRoundRobin     LoadBalancing = "weighted_round_robin"
)

// UnmarshalText takes the strategy's name.
func (l *LoadBalancing) UnmarshalText(text []byte) error {
	return known(l, text, Random, RoundRobin, LeastActiveConnections, WeightedRoundRobin)
}

// A ReadWriteStrategy says what counts as reading.
type ReadWriteStrategy string

// The strategies.
const (
	// Conservative sends transactions to the primary unless they are READ ONLY.
	Conservative ReadWriteStrategy = "conservative"
	// Aggressive decides by a transaction's first statement.
	Aggressive ReadWriteStrategy = "aggressive"
)

// UnmarshalText takes the strategy's name.
func (r *ReadWriteStrategy) UnmarshalText(text []byte) error {
	return known(r, text, Conservative, Aggressive)
}

// A ReadWriteSplit says whether reads may go to the primary.
type ReadWriteSplit string

// The splits.
const (
	IncludePrimary                ReadWriteSplit = "include_primary"
	ExcludePrimary                ReadWriteSplit = "exclude_primary"
	IncludePrimaryIfReplicaBanned ReadWriteSplit = "include_primary_if_replica_banned"
	PreferPrimary                 ReadWriteSplit = "prefer_primary"
)

// UnmarshalText takes the split's name.
func (r *ReadWriteSplit) UnmarshalText(text []byte) error {
	return known(r, text, IncludePrimary, ExcludePrimary, IncludePrimaryIfReplicaBanned, PreferPrimary)
}

// A TLSVerify says how connections to servers are encrypted.
type TLSVerify string

// The modes.
const (
	TLSDisabled TLSVerify = "disabled"
	TLSPrefer   TLSVerify = "prefer"
	// TLSRequire encrypts or fails, without verification. PgBouncer has it, PgDog has not.
	TLSRequire    TLSVerify = "require"
	TLSVerifyCA   TLSVerify = "verify_ca"
	TLSVerifyFull TLSVerify = "verify_full"
)

// UnmarshalText takes the mode's name.
func (t *TLSVerify) UnmarshalText(text []byte) error {
	return known(t, text, TLSDisabled, TLSPrefer, TLSRequire, TLSVerifyCA, TLSVerifyFull)
}

// A PreparedMode says which prepared statements are shared between clients.
type PreparedMode string

// The modes.
const (
	PreparedDisabled          PreparedMode = "disabled"
	PreparedExtended          PreparedMode = "extended"
	PreparedExtendedAnonymous PreparedMode = "extended_anonymous"
	PreparedFull              PreparedMode = "full" // SQL's PREPARE and EXECUTE too
)

// UnmarshalText takes the mode's name.
func (p *PreparedMode) UnmarshalText(text []byte) error {
	return known(p, text, PreparedDisabled, PreparedExtended, PreparedExtendedAnonymous, PreparedFull)
}

// A ParserLevel says what SQL is parsed for.
type ParserLevel string

// The levels.
const (
	ParserOff  ParserLevel = "off"
	ParserAuto ParserLevel = "auto"
	ParserOn   ParserLevel = "on"
	// ParserSessionControl looks for SET and its like only.
	ParserSessionControl ParserLevel = "session_control"
	// ParserSessionControlAndLocks looks for advisory locks too.
	ParserSessionControlAndLocks ParserLevel = "session_control_and_locks"
)

// UnmarshalText takes the level's name.
func (p *ParserLevel) UnmarshalText(text []byte) error {
	return known(p, text, ParserOff, ParserAuto, ParserOn, ParserSessionControl, ParserSessionControlAndLocks)
}

// A ParserEngine is a parser of PgDog's. There is one parser here, so that the value is
// accepted and makes no difference.
type ParserEngine string

// UnmarshalText takes the engine's name.
func (p *ParserEngine) UnmarshalText(text []byte) error {
	return known(p, text, "pg_query_protobuf", "pg_query_raw")
}

// A SizeAction says what happens to a query that is too long.
type SizeAction string

// The actions.
const (
	SizeWarn  SizeAction = "warn"
	SizeBlock SizeAction = "block" // refused with SQLSTATE 54000
)

// UnmarshalText takes the action's name.
func (s *SizeAction) UnmarshalText(text []byte) error { return known(s, text, SizeWarn, SizeBlock) }

// A SystemCatalogs says on which shards catalogs are read.
type SystemCatalogs string

// The behaviours.
const (
	CatalogsOmnisharded       SystemCatalogs = "omnisharded"
	CatalogsOmnishardedSticky SystemCatalogs = "omnisharded_sticky"
	CatalogsSharded           SystemCatalogs = "sharded"
)

// UnmarshalText takes the behaviour's name.
func (s *SystemCatalogs) UnmarshalText(text []byte) error {
	return known(s, text, CatalogsOmnisharded, CatalogsOmnishardedSticky, CatalogsSharded)
}

// A Switch is on, off, or decided by what is configured.
type Switch string

// The positions.
const (
	SwitchOn   Switch = "on"
	SwitchOff  Switch = "off"
	SwitchAuto Switch = "auto"
)

// UnmarshalText takes the position's name.
func (s *Switch) UnmarshalText(text []byte) error {
	return known(s, text, SwitchOn, SwitchOff, SwitchAuto)
}

// A Recovery says what is done with a connection that was left in the middle of something.
type Recovery string

// The ways.
const (
	Recover      Recovery = "recover"
	RollbackOnly Recovery = "rollback_only"
	Drop         Recovery = "drop"
)

// UnmarshalText takes the way's name.
func (r *Recovery) UnmarshalText(text []byte) error {
	return known(r, text, Recover, RollbackOnly, Drop)
}

// A CopyFormat is COPY's when data move between servers.
type CopyFormat string

// The formats.
const (
	CopyBinary CopyFormat = "binary"
	CopyText   CopyFormat = "text"
)

// UnmarshalText takes the format's name.
func (c *CopyFormat) UnmarshalText(text []byte) error { return known(c, text, CopyBinary, CopyText) }

// A CutoverAction is what happens when a cutover takes too long.
type CutoverAction string

// The actions.
const (
	CutoverAbort  CutoverAction = "abort"
	CutoverForced CutoverAction = "cutover"
)

// UnmarshalText takes the action's name.
func (c *CutoverAction) UnmarshalText(text []byte) error {
	return known(c, text, CutoverAbort, CutoverForced)
}

// A UniqueIDFunction is the layout of unique ids.
type UniqueIDFunction string

// The layouts.
const (
	UniqueIDStandard UniqueIDFunction = "standard"
	UniqueIDCompact  UniqueIDFunction = "compact"
)

// UnmarshalText takes the layout's name.
func (u *UniqueIDFunction) UnmarshalText(text []byte) error {
	return known(u, text, UniqueIDStandard, UniqueIDCompact)
}

// A LogFormat is how log lines are written.
type LogFormat string

// The formats.
const (
	LogText          LogFormat = "text"
	LogJSON          LogFormat = "json"
	LogJSONFlattened LogFormat = "json_flattened"
)

// UnmarshalText takes the format's name.
func (l *LogFormat) UnmarshalText(text []byte) error {
	return known(l, text, LogText, LogJSON, LogJSONFlattened)
}

// A RewriteMode says what happens to a statement that one shard cannot run as it is.
type RewriteMode string

// The modes.
const (
	RewriteError   RewriteMode = "error"
	RewriteRewrite RewriteMode = "rewrite"
	RewriteIgnore  RewriteMode = "ignore"
	// RewriteOmni is for primary keys: omnisharded tables too.
	RewriteOmni RewriteMode = "rewrite_omni"
)

// UnmarshalText takes the mode's name.
func (r *RewriteMode) UnmarshalText(text []byte) error {
	return known(r, text, RewriteError, RewriteRewrite, RewriteIgnore, RewriteOmni)
}

// A ServerAuth is how the proxy proves to a server who it is.
type ServerAuth string

// The methods. Only passwords are supported.
const (
	ServerPassword     ServerAuth = "password"
	ServerRDSIAM       ServerAuth = "rds_iam"
	ServerAzure        ServerAuth = "azure_workload_identity"
	ServerVaultDynamic ServerAuth = "vault_dynamic"
	ServerVaultStatic  ServerAuth = "vault_static"
)

// UnmarshalText takes the method's name.
func (s *ServerAuth) UnmarshalText(text []byte) error {
	return known(s, text, ServerPassword, ServerRDSIAM, ServerAzure, ServerVaultDynamic, ServerVaultStatic)
}

// A DataType is a sharded column's type.
type DataType string

// The types.
const (
	Bigint  DataType = "bigint"
	UUID    DataType = "uuid"
	Vector  DataType = "vector"
	Varchar DataType = "varchar"
)

// UnmarshalText takes the type's name.
func (d *DataType) UnmarshalText(text []byte) error {
	return known(d, text, Bigint, UUID, Vector, Varchar)
}

// A Hasher is a function from keys to shards.
type Hasher string

// The hashers.
const (
	HasherPostgres Hasher = "postgres"
	HasherSHA1     Hasher = "sha1"
)

// UnmarshalText takes the hasher's name.
func (h *Hasher) UnmarshalText(text []byte) error { return known(h, text, HasherPostgres, HasherSHA1) }

// A MappingKind says which keys a mapping is for.
type MappingKind string

// The kinds.
const (
	MapList    MappingKind = "list"
	MapRange   MappingKind = "range"
	MapDefault MappingKind = "default"
)

// UnmarshalText takes the kind's name.
func (m *MappingKind) UnmarshalText(text []byte) error {
	return known(m, text, MapList, MapRange, MapDefault)
}

// A LookupResult says what a lookup query returns.
type LookupResult string

// The results.
const (
	LookupShard LookupResult = "shard"
	LookupValue LookupResult = "value" // to be hashed
)

// UnmarshalText takes the result's name.
func (l *LookupResult) UnmarshalText(text []byte) error {
	return known(l, text, LookupShard, LookupValue)
}

// A MirrorLevel says which statements are mirrored.
type MirrorLevel string

// The levels.
const (
	MirrorAll MirrorLevel = "all"
	MirrorDDL MirrorLevel = "ddl"
	MirrorDML MirrorLevel = "dml"
)

// UnmarshalText takes the level's name.
func (m *MirrorLevel) UnmarshalText(text []byte) error {
	return known(m, text, MirrorAll, MirrorDDL, MirrorDML)
}
