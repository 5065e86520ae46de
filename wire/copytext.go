package wire

// AppendCopyText appends a field of COPY's text format with its backslashes resolved, as the
// server reads it (CopyReadAttributesText in copyfromparse.c). The field has no delimiter in
// it that no backslash quotes, and is not the null string.
func AppendCopyText(dst, field []byte) []byte {
	for i := 0; i < len(field); i++ {
		c := field[i]
		if c != '\\' || i+1 == len(field) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = field[i]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'v':
			c = '\v'
		case '0', '1', '2', '3', '4', '5', '6', '7':
			v := c - '0'
			for n := 0; n < 2 && i+1 < len(field) && field[i+1] >= '0' && field[i+1] <= '7'; n++ {
				i++
				v = v<<3 + field[i] - '0'
			}
			c = v
		case 'x':
			v, n := 0, 0
			for n < 2 && i+1 < len(field) {
				digit := unhex(field[i+1])
				if digit < 0 {
					break
				}
				i++
				n++
				v = v<<4 + digit
			}
			if n > 0 {
				c = byte(v)
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// unhex is the value of a hexadecimal digit; -1 for other characters.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
