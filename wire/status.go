package wire

// A ParameterStatus tells the value of a setting that clients care about.
type ParameterStatus struct {
	Name, Value string
}

func (*ParameterStatus) backend() {}

// AppendTo appends the message to b.
func (m *ParameterStatus) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeParameterStatus)
	b = appendString(b, m.Name, "ParameterStatus")
	b = appendString(b, m.Value, "ParameterStatus")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *ParameterStatus) Decode(body []byte) error {
	c := newCursor("ParameterStatus", body)
	c.string(&m.Name)
	c.string(&m.Value)
	return c.end()
}

// A NotificationResponse brings a NOTIFY.
type NotificationResponse struct {
	PID     uint32 // of the session that notified
	Channel string
	Payload string
}

func (*NotificationResponse) backend() {}

// AppendTo appends the message to b.
func (m *NotificationResponse) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeNotificationResponse)
	b = appendUint32(b, m.PID)
	b = appendString(b, m.Channel, "NotificationResponse")
	b = appendString(b, m.Payload, "NotificationResponse")
	return end(b, at)
}

// Decode reads the message from its body.
func (m *NotificationResponse) Decode(body []byte) error {
	c := newCursor("NotificationResponse", body)
	m.PID = c.uint32()
	c.string(&m.Channel)
	c.string(&m.Payload)
	return c.end()
}
