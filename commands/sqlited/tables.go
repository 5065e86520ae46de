package sqlited

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// tables are pg_catalog's and information_schema's, with PostgreSQL 15's columns as far as
// clients ask for them. The letter behind a column says its type; see columnType. Those that
// fill leaves empty are of things that SQLite does not have.
const tables = `
pg_namespace oid:o nspname:n nspowner:o nspacl:t
pg_class oid:o relname:n relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o relpages:4 reltuples:f relallvisible:4 reltoastrelid:o relhasindex:b relisshared:b relpersistence:c relkind:c relnatts:2 relchecks:2 relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b relispopulated:b relreplident:c relispartition:b relrewrite:o relfrozenxid:4 relminmxid:4 relacl:t reloptions:t relpartbound:t
pg_attribute attrelid:o attname:n atttypid:o attstattarget:4 attlen:2 attnum:2 attndims:4 attcacheoff:4 atttypmod:4 attbyval:b attalign:c attstorage:c attcompression:c attnotnull:b atthasdef:b atthasmissing:b attidentity:c attgenerated:c attisdropped:b attislocal:b attinhcount:4 attcollation:o attacl:t attoptions:t attfdwoptions:t attmissingval:t
pg_attrdef oid:o adrelid:o adnum:2 adbin:t
pg_type oid:o typname:n typnamespace:o typowner:o typlen:2 typbyval:b typtype:c typcategory:c typispreferred:b typisdefined:b typdelim:c typrelid:o typsubscript:t typelem:o typarray:o typinput:t typoutput:t typreceive:t typsend:t typmodin:t typmodout:t typanalyze:t typalign:c typstorage:c typnotnull:b typbasetype:o typtypmod:4 typndims:4 typcollation:o typdefaultbin:t typdefault:t typacl:t
pg_index indexrelid:o indrelid:o indnatts:2 indnkeyatts:2 indisunique:b indnullsnotdistinct:b indisprimary:b indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b indisreplident:b indkey:v indcollation:w indclass:w indoption:v indexprs:t indpred:t
pg_constraint oid:o conname:n connamespace:o contype:c condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o conindid:o conparentid:o confrelid:o confupdtype:c confdeltype:c confmatchtype:c conislocal:b coninhcount:4 connoinherit:b conkey:t confkey:t conbin:t
pg_database oid:o datname:n datdba:o encoding:4 datlocprovider:c datistemplate:b datallowconn:b datconnlimit:4 dattablespace:o datcollate:t datctype:t daticulocale:t datcollversion:t datacl:t
pg_roles oid:o rolname:n rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b rolbypassrls:b rolconnlimit:4 rolpassword:t rolvaliduntil:t rolconfig:t
pg_user usename:n usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:t useconfig:t
pg_am oid:o amname:n amhandler:t amtype:c
pg_collation oid:o collname:n collnamespace:o collprovider:c
pg_tables schemaname:n tablename:n tableowner:n tablespace:n hasindexes:b hasrules:b hastriggers:b rowsecurity:b
pg_views schemaname:n viewname:n viewowner:n definition:t
pg_indexes schemaname:n tablename:n indexname:n tablespace:n indexdef:t
pg_settings name:t setting:t unit:t category:t short_desc:t context:t vartype:t source:t
pg_inherits inhrelid:o inhparent:o inhseqno:4 inhdetachpending:b
pg_description objoid:o classoid:o objsubid:4 description:t
pg_shdescription objoid:o classoid:o description:t
pg_enum oid:o enumtypid:o enumsortorder:f enumlabel:n
pg_range rngtypid:o rngsubtype:o rngmultitypid:o rngcollation:o rngsubopc:o
pg_proc oid:o proname:n pronamespace:o proowner:o prolang:o prokind:c proretset:b prorettype:o proargtypes:w proargnames:t pronargs:2 prosrc:t provolatile:c proparallel:c prosecdef:b proacl:t
pg_language oid:o lanname:n
pg_trigger oid:o tgrelid:o tgname:n tgfoid:o tgtype:2 tgenabled:c tgisinternal:b tgconstraint:o tgparentid:o tgdeferrable:b tginitdeferred:b
pg_rewrite oid:o rulename:n ev_class:o ev_type:c ev_enabled:c is_instead:b
pg_policy oid:o polname:n polrelid:o polcmd:c polpermissive:b polroles:t polqual:t polwithcheck:t
pg_publication oid:o pubname:n pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b
pg_publication_rel oid:o prpubid:o prrelid:o prqual:t prattrs:v
pg_publication_namespace oid:o pnpubid:o pnnspid:o
pg_statistic_ext oid:o stxrelid:o stxname:n stxnamespace:o stxowner:o stxstattarget:4 stxkeys:v stxkind:t stxexprs:t
pg_extension oid:o extname:n extowner:o extnamespace:o extrelocatable:b extversion:t
pg_tablespace oid:o spcname:n spcowner:o spcacl:t spcoptions:t
pg_foreign_table ftrelid:o ftserver:o ftoptions:t
pg_foreign_server oid:o srvname:n srvowner:o srvfdw:o srvtype:t srvversion:t srvacl:t srvoptions:t
pg_foreign_data_wrapper oid:o fdwname:n fdwowner:o fdwhandler:o fdwvalidator:o fdwacl:t fdwoptions:t
pg_event_trigger oid:o evtname:n evtevent:n evtowner:o evtfoid:o evtenabled:c evttags:t
pg_depend classid:o objid:o objsubid:4 refclassid:o refobjid:o refobjsubid:4 deptype:c
pg_matviews schemaname:n matviewname:n matviewowner:n tablespace:n hasindexes:b ispopulated:b definition:t
pg_sequence seqrelid:o seqtypid:o seqstart:8 seqincrement:8 seqmax:8 seqmin:8 seqcache:8 seqcycle:b
pg_auth_members roleid:o member:o grantor:o admin_option:b
pg_db_role_setting setdatabase:o setrole:o setconfig:t
pg_partitioned_table partrelid:o partstrat:c partnatts:2 partdefid:o
information_schema.schemata catalog_name:n schema_name:n schema_owner:n
information_schema.tables table_catalog:n table_schema:n table_name:n table_type:t is_insertable_into:t is_typed:t
information_schema.views table_catalog:n table_schema:n table_name:n view_definition:t check_option:t is_updatable:t
information_schema.columns table_catalog:n table_schema:n table_name:n column_name:n ordinal_position:4 column_default:t is_nullable:t data_type:t character_maximum_length:4 numeric_precision:4 numeric_scale:4 datetime_precision:4 udt_catalog:n udt_schema:n udt_name:n is_identity:t identity_generation:t is_generated:t generation_expression:t is_updatable:t
information_schema.table_constraints constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n constraint_type:t is_deferrable:t initially_deferred:t
information_schema.key_column_usage constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n column_name:n ordinal_position:4 position_in_unique_constraint:4
information_schema.constraint_column_usage table_catalog:n table_schema:n table_name:n column_name:n constraint_catalog:n constraint_schema:n constraint_name:n
information_schema.referential_constraints constraint_catalog:n constraint_schema:n constraint_name:n unique_constraint_catalog:n unique_constraint_schema:n unique_constraint_name:n match_option:t update_rule:t delete_rule:t
information_schema.sequences sequence_catalog:n sequence_schema:n sequence_name:n data_type:t
information_schema.routines routine_catalog:n routine_schema:n routine_name:n routine_type:t data_type:t
information_schema.triggers trigger_catalog:n trigger_schema:n trigger_name:n event_object_table:n
`

// columnType returns a type whose name SQLite takes for the right affinity, and which the
// result tells us again.
func columnType(letter string) string {
	return map[string]string{
		"o": "INT_OID", "n": "TEXT_NAME", "c": "TEXT_QCHAR", "b": "INT_BOOL", "2": "INT_2", "4": "INT_4", "8": "INT_8",
		"f": "REAL_4", "t": "TEXT", "v": "TEXT_INT2VECTOR", "w": "TEXT_OIDVECTOR",
	}[letter]
}

// catalogOID is the way back.
func catalogOID(declared string) uint32 {
	return map[string]uint32{
		"INT_OID": pgtype.OIDOID, "TEXT_NAME": pgtype.NameOID, "TEXT_QCHAR": pgtype.QCharOID, "INT_BOOL": pgtype.BoolOID,
		"INT_2": pgtype.Int2OID, "INT_4": pgtype.Int4OID, "INT_8": pgtype.Int8OID, "REAL_4": pgtype.Float4OID,
		"TEXT": pgtype.TextOID, "TEXT_INT2VECTOR": 22, "TEXT_OIDVECTOR": 30,
	}[declared]
}

// catalogTables returns the names of the tables, with the numbers of their columns.
func catalogTables() map[string]int {
	out := map[string]int{}
	for line := range strings.Lines(strings.TrimSpace(tables)) {
		fields := strings.Fields(line)
		out[fields[0]] = len(fields) - 1
	}
	return out
}

// createTables is the SQL that makes the tables.
func createTables() string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(tables)) {
		fields := strings.Fields(line)
		var columns []string
		for _, f := range fields[1:] {
			name, letter, _ := strings.Cut(f, ":")
			columns = append(columns, name+" "+columnType(letter))
		}
		fmt.Fprintf(&b, "CREATE TABLE %q (%s);\n", fields[0], strings.Join(columns, ", "))
	}
	return b.String()
}

// A catalogType is a row of pg_type.
type catalogType struct {
	oid, array uint32
	length     int64
	name       string
	category   string
	full       string // as format_type writes it
}

func catalogTypes() []catalogType {
	return []catalogType{
		{16, 1000, 1, "bool", "B", "boolean"},
		{17, 1001, -1, "bytea", "U", "bytea"},
		{18, 1002, 1, "char", "Z", `"char"`},
		{19, 1003, 64, "name", "S", "name"},
		{20, 1016, 8, "int8", "N", "bigint"},
		{21, 1005, 2, "int2", "N", "smallint"},
		{22, 1006, -1, "int2vector", "A", "int2vector"},
		{23, 1007, 4, "int4", "N", "integer"},
		{25, 1009, -1, "text", "S", "text"},
		{26, 1028, 4, "oid", "N", "oid"},
		{30, 1013, -1, "oidvector", "A", "oidvector"},
		{114, 199, -1, "json", "U", "json"},
		{700, 1021, 4, "float4", "N", "real"},
		{701, 1022, 8, "float8", "N", "double precision"},
		{705, 0, -2, "unknown", "X", "unknown"},
		{1042, 1014, -1, "bpchar", "S", "character"},
		{1043, 1015, -1, "varchar", "S", "character varying"},
		{1082, 1182, 4, "date", "D", "date"},
		{1083, 1183, 8, "time", "D", "time without time zone"},
		{1114, 1115, 8, "timestamp", "D", "timestamp without time zone"},
		{1184, 1185, 8, "timestamptz", "D", "timestamp with time zone"},
		{1186, 1187, 16, "interval", "T", "interval"},
		{1700, 1231, -1, "numeric", "N", "numeric"},
		{2950, 2951, 16, "uuid", "U", "uuid"},
		{3802, 3807, -1, "jsonb", "U", "jsonb"},
	}
}

// formatType is PostgreSQL's format_type.
func formatType(oid uint32, mod int64) string {
	for _, t := range catalogTypes() {
		if t.array == oid && oid != 0 {
			return formatType(t.oid, mod) + "[]"
		}
		if t.oid != oid {
			continue
		}
		switch {
		case mod < 4:
		case oid == pgtype.NumericOID:
			return fmt.Sprintf("numeric(%d,%d)", (mod-4)>>16, (mod-4)&0xffff)
		case oid == pgtype.VarcharOID, oid == pgtype.BPCharOID:
			return fmt.Sprintf("%s(%d)", t.full, mod-4)
		}
		return t.full
	}
	return "???"
}
