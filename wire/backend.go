package wire

// A BackendDecoder decodes a backend's messages into values that it uses again: each
// result is valid until the next call. Messages longer than 64 KiB get new values, as
// those of a [FrontendDecoder] do. The zero value is ready. It is not safe for concurrent
// use.
type BackendDecoder struct {
	authMD5       AuthenticationMD5Password
	authSASL      AuthenticationSASL
	authSASLCont  AuthenticationSASLContinue
	authSASLFinal AuthenticationSASLFinal
	authGSSCont   AuthenticationGSSContinue
	keyData       BackendKeyData
	complete      CommandComplete
	copyBoth      CopyBothResponse
	copyData      CopyData
	copyIn        CopyInResponse
	copyOut       CopyOutResponse
	dataRow       DataRow
	callResponse  FunctionCallResponse
	negotiate     NegotiateProtocolVersion
	notification  NotificationResponse
	paramDesc     ParameterDescription
	paramStatus   ParameterStatus
	ready         ReadyForQuery
	rowDesc       RowDescription
}

// Decode decodes the body of a message of type t. ErrorResponse and NoticeResponse come
// back in new memory, because errors outlive the message they came in.
func (d *BackendDecoder) Decode(t Type, body []byte) (BackendMessage, error) {
	if len(body) > maxReadBuffer {
		d = new(BackendDecoder)
	}
	var m BackendMessage
	if t == TypeAuthentication {
		var err error
		if m, err = d.authentication(body); err != nil {
			return nil, err
		}
	} else if m = d.message(t); m == nil {
		return nil, unknownType(Backend, t)
	}
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	return m, nil
}

func (d *BackendDecoder) message(t Type) BackendMessage {
	switch t {
	case TypeDataRow:
		return &d.dataRow
	case TypeCopyData:
		return &d.copyData
	case TypeCommandComplete:
		return &d.complete
	case TypeReadyForQuery:
		return &d.ready
	case TypeRowDescription:
		return &d.rowDesc
	case TypeParameterDescription:
		return &d.paramDesc
	case TypeParseComplete:
		return &ParseComplete{}
	case TypeBindComplete:
		return &BindComplete{}
	case TypeCloseComplete:
		return &CloseComplete{}
	case TypeNoData:
		return &NoData{}
	case TypePortalSuspended:
		return &PortalSuspended{}
	case TypeEmptyQueryResponse:
		return &EmptyQueryResponse{}
	case TypeErrorResponse:
		return &ErrorResponse{}
	case TypeNoticeResponse:
		return &NoticeResponse{}
	case TypeNotificationResponse:
		return &d.notification
	case TypeParameterStatus:
		return &d.paramStatus
	case TypeBackendKeyData:
		return &d.keyData
	case TypeCopyInResponse:
		return &d.copyIn
	case TypeCopyOutResponse:
		return &d.copyOut
	case TypeCopyBothResponse:
		return &d.copyBoth
	case TypeCopyDone:
		return &CopyDone{}
	case TypeFunctionCallResponse:
		return &d.callResponse
	case TypeNegotiateProtocolVersion:
		return &d.negotiate
	}
	return nil
}

// authentication picks the message by the code that the body begins with.
func (d *BackendDecoder) authentication(body []byte) (BackendMessage, error) {
	code, err := AuthenticationCode(body)
	if err != nil {
		return nil, err
	}
	switch code {
	case AuthOK:
		return &AuthenticationOk{}, nil
	case AuthKerberosV5:
		return &AuthenticationKerberosV5{}, nil
	case AuthCleartextPassword:
		return &AuthenticationCleartextPassword{}, nil
	case AuthMD5Password:
		return &d.authMD5, nil
	case AuthSCMCredential:
		return &AuthenticationSCMCredential{}, nil
	case AuthGSS:
		return &AuthenticationGSS{}, nil
	case AuthGSSContinue:
		return &d.authGSSCont, nil
	case AuthSSPI:
		return &AuthenticationSSPI{}, nil
	case AuthSASL:
		return &d.authSASL, nil
	case AuthSASLContinue:
		return &d.authSASLCont, nil
	case AuthSASLFinal:
		return &d.authSASLFinal, nil
	}
	return nil, unsupportedAuth(code)
}

// DecodeBackend decodes the body of a message of type t into a new value, as
// [BackendDecoder.Decode] does into its own.
func DecodeBackend(t Type, body []byte) (BackendMessage, error) {
	return new(BackendDecoder).Decode(t, body)
}
