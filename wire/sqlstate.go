package wire

// A Code is an SQLSTATE: five characters, the first two of which name a class
// (PostgreSQL's appendix "PostgreSQL Error Codes").
type Code string

// Class returns the first two characters, or "" for something that is no SQLSTATE.
func (c Code) Class() string {
	if len(c) != 5 {
		return ""
	}
	return string(c[:2])
}

// Valid reports whether c is five digits or upper-case letters.
func (c Code) Valid() bool {
	for i := range len(c) {
		if b := c[i]; (b < '0' || b > '9') && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return len(c) == 5
}

// IsSuccess, IsWarning and IsNoData tell the classes that are no errors.
func (c Code) IsSuccess() bool { return c.Class() == "00" }

// IsWarning reports class 01.
func (c Code) IsWarning() bool { return c.Class() == "01" }

// IsNoData reports class 02.
func (c Code) IsNoData() bool { return c.Class() == "02" }

// IsConnection reports class 08: the connection, not a statement, has failed.
func (c Code) IsConnection() bool { return c.Class() == "08" }

// IsShutdown reports that the server is going away or not yet there, so that another
// attempt, later or elsewhere, may succeed.
func (c Code) IsShutdown() bool {
	return c == CodeAdminShutdown || c == CodeCrashShutdown || c == CodeCannotConnectNow || c == CodeDatabaseDropped
}

// IsRetryable reports that the same transaction may succeed when it is tried again.
func (c Code) IsRetryable() bool {
	return c == CodeSerializationFailure || c == CodeDeadlockDetected
}

// The codes that this module uses or asks for.
const (
	CodeSuccessfulCompletion Code = "00000"
	CodeWarning              Code = "01000"
	CodeNoDataFound          Code = "P0002"

	CodeConnectionException    Code = "08000"
	CodeConnectionDoesNotExist Code = "08003"
	CodeConnectionFailure      Code = "08006"
	CodeProtocolViolation      Code = "08P01"

	CodeFeatureNotSupported Code = "0A000"

	CodeDataException               Code = "22000"
	CodeNumericValueOutOfRange      Code = "22003"
	CodeInvalidDatetimeFormat       Code = "22007"
	CodeDatetimeFieldOverflow       Code = "22008"
	CodeCharacterNotInRepertoire    Code = "22021"
	CodeInvalidParameterValue       Code = "22023"
	CodeInvalidTextRepresentation   Code = "22P02"
	CodeInvalidBinaryRepresentation Code = "22P03"
	CodeBadCopyFileFormat           Code = "22P04"
	CodeUntranslatableCharacter     Code = "22P05"

	CodeNotNullViolation    Code = "23502"
	CodeForeignKeyViolation Code = "23503"
	CodeUniqueViolation     Code = "23505"
	CodeCheckViolation      Code = "23514"

	CodeActiveSQLTransaction     Code = "25001"
	CodeReadOnlySQLTransaction   Code = "25006"
	CodeNoActiveSQLTransaction   Code = "25P01"
	CodeInFailedSQLTransaction   Code = "25P02"
	CodeIdleInTransactionTimeout Code = "25P03"
	CodeTransactionTimeout       Code = "25P04"
	CodeInvalidSQLStatementName  Code = "26000"
	CodeInvalidAuthorization     Code = "28000"
	CodeInvalidPassword          Code = "28P01"
	CodeInvalidCursorName        Code = "34000"
	CodeInvalidCatalogName       Code = "3D000"
	CodeInvalidSchemaName        Code = "3F000"
	CodeSerializationFailure     Code = "40001"
	CodeDeadlockDetected         Code = "40P01"
	CodeSyntaxErrorOrAccessRule  Code = "42000"
	CodeInsufficientPrivilege    Code = "42501"
	CodeSyntaxError              Code = "42601"
	CodeUndefinedColumn          Code = "42703"
	CodeUndefinedObject          Code = "42704"
	CodeDuplicateObject          Code = "42710"
	CodeDatatypeMismatch         Code = "42804"
	CodeUndefinedFunction        Code = "42883"
	CodeUndefinedTable           Code = "42P01"
	CodeUndefinedParameter       Code = "42P02"
	CodeDuplicateCursor          Code = "42P03"
	CodeDuplicateDatabase        Code = "42P04"
	CodeDuplicatePreparedStmt    Code = "42P05"
	CodeDuplicateTable           Code = "42P07"
	CodeIndeterminateDatatype    Code = "42P18"
	CodeInsufficientResources    Code = "53000"
	CodeDiskFull                 Code = "53100"
	CodeOutOfMemory              Code = "53200"
	CodeTooManyConnections       Code = "53300"
	CodeConfigurationLimit       Code = "53400"
	CodeProgramLimitExceeded     Code = "54000"
	CodeTooManyColumns           Code = "54011"
	CodeTooManyArguments         Code = "54023"
	CodeObjectNotInPrerequisite  Code = "55000"
	CodeObjectInUse              Code = "55006"
	CodeQueryCanceled            Code = "57014"
	CodeAdminShutdown            Code = "57P01"
	CodeCrashShutdown            Code = "57P02"
	CodeCannotConnectNow         Code = "57P03"
	CodeDatabaseDropped          Code = "57P04"
	CodeIdleSessionTimeout       Code = "57P05"
	CodeSystemError              Code = "58000"
	CodeIOError                  Code = "58030"
	CodeUndefinedFile            Code = "58P01"
	CodeConfigFileError          Code = "F0000"
	CodeInternalError            Code = "XX000"
	CodeDataCorrupted            Code = "XX001"
)
