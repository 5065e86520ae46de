package guest

import "errors"

// raise raises an ERROR of PostgreSQL, and returns what that leaves the guest with: a
// longjmp, or the exit of one that nobody catches. A host function panics with it.
func (in *Instance) raise(sqlstate, message string) error {
	const level = 21 // ERROR (elog.h)
	code := uint64(0)
	for i := range 5 { // MAKE_SQLSTATE
		code |= uint64(sqlstate[i]-'0') & 0x3f << (6 * i)
	}
	// The scratch memory is there since the start and is large enough for short texts: then
	// nothing is allocated now. The last part is for errmsg's variable arguments, which are
	// passed as a pointer to them.
	text := in.cstrings("%s", message, "wasm", "raise", "\x00\x00\x00\x00\x00\x00\x00\x00")
	if _, err := in.try("errstart", level, 0); err != nil {
		return err
	}
	if _, err := in.try("errcode", code); err != nil {
		return err
	}
	at := (uint32(text[4]) + 3) &^ 3
	in.Memory().WriteUint32Le(at, uint32(text[1]))
	if _, err := in.try("errmsg", text[0], uint64(at)); err != nil {
		return err
	}
	if _, err := in.try("errfinish", text[2], 0, text[3]); err != nil {
		return err
	}
	return errors.New("an ERROR was raised, and the guest went on")
}
