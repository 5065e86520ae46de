package route

import "testing"

func TestEncodingOf(t *testing.T) {
	for name, want := range map[string]Encoding{
		"": UTF8, "UTF8": UTF8, "utf-8": UTF8, "Unicode": UTF8, "SQL_ASCII": UTF8,
		"LATIN1": OtherEncoding, "ISO_8859_5": OtherEncoding, "WIN1252": OtherEncoding, "euc-jp": OtherEncoding, "KOI8R": OtherEncoding, "MULE_INTERNAL": OtherEncoding,
		"SJIS": MixedEncoding, "Shift_JIS_2004": MixedEncoding, "GB18030": MixedEncoding, "WIN936": MixedEncoding, "Big5": MixedEncoding, "johab": MixedEncoding,
	} {
		if got := EncodingOf(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}
