package lex

// The classes of bytes.
const (
	other = iota
	space
	letter
	digit
	quote
	doubleQuote
	dollar
	operator
)

// class says how a token starts, by its first byte. Bytes above 127 are letters (ident_start
// in scan.l).
var class = [256]uint8{
	' ': space, '\t': space, '\n': space, '\v': space, '\f': space, '\r': space,
	'0': digit, '1': digit, '2': digit, '3': digit, '4': digit, '5': digit, '6': digit, '7': digit, '8': digit, '9': digit,
	'\'': quote, '"': doubleQuote, '$': dollar,
	'~': operator, '!': operator, '@': operator, '#': operator, '^': operator, '&': operator, '|': operator, '`': operator,
	'?': operator, '+': operator, '-': operator, '*': operator, '/': operator, '%': operator, '<': operator, '>': operator, '=': operator,
	'_': letter,
	'a': letter, 'b': letter, 'c': letter, 'd': letter, 'e': letter, 'f': letter, 'g': letter, 'h': letter, 'i': letter,
	'j': letter, 'k': letter, 'l': letter, 'm': letter, 'n': letter, 'o': letter, 'p': letter, 'q': letter, 'r': letter,
	's': letter, 't': letter, 'u': letter, 'v': letter, 'w': letter, 'x': letter, 'y': letter, 'z': letter,
	'A': letter, 'B': letter, 'C': letter, 'D': letter, 'E': letter, 'F': letter, 'G': letter, 'H': letter, 'I': letter,
	'J': letter, 'K': letter, 'L': letter, 'M': letter, 'N': letter, 'O': letter, 'P': letter, 'Q': letter, 'R': letter,
	'S': letter, 'T': letter, 'U': letter, 'V': letter, 'W': letter, 'X': letter, 'Y': letter, 'Z': letter,
	128: letter, 129: letter, 130: letter, 131: letter, 132: letter, 133: letter, 134: letter, 135: letter,
	136: letter, 137: letter, 138: letter, 139: letter, 140: letter, 141: letter, 142: letter, 143: letter,
	144: letter, 145: letter, 146: letter, 147: letter, 148: letter, 149: letter, 150: letter, 151: letter,
	152: letter, 153: letter, 154: letter, 155: letter, 156: letter, 157: letter, 158: letter, 159: letter,
	160: letter, 161: letter, 162: letter, 163: letter, 164: letter, 165: letter, 166: letter, 167: letter,
	168: letter, 169: letter, 170: letter, 171: letter, 172: letter, 173: letter, 174: letter, 175: letter,
	176: letter, 177: letter, 178: letter, 179: letter, 180: letter, 181: letter, 182: letter, 183: letter,
	184: letter, 185: letter, 186: letter, 187: letter, 188: letter, 189: letter, 190: letter, 191: letter,
	192: letter, 193: letter, 194: letter, 195: letter, 196: letter, 197: letter, 198: letter, 199: letter,
	200: letter, 201: letter, 202: letter, 203: letter, 204: letter, 205: letter, 206: letter, 207: letter,
	208: letter, 209: letter, 210: letter, 211: letter, 212: letter, 213: letter, 214: letter, 215: letter,
	216: letter, 217: letter, 218: letter, 219: letter, 220: letter, 221: letter, 222: letter, 223: letter,
	224: letter, 225: letter, 226: letter, 227: letter, 228: letter, 229: letter, 230: letter, 231: letter,
	232: letter, 233: letter, 234: letter, 235: letter, 236: letter, 237: letter, 238: letter, 239: letter,
	240: letter, 241: letter, 242: letter, 243: letter, 244: letter, 245: letter, 246: letter, 247: letter,
	248: letter, 249: letter, 250: letter, 251: letter, 252: letter, 253: letter, 254: letter, 255: letter,
}
