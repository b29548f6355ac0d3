package explain

import (
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends an answer as one line of JSON; id is a JSON value, "null" if empty.
func (a *Answer) AppendJSON(b []byte, id string) []byte {
	b = appendID(append(b, `{"id": `...), id)
	b = field(b, `, "verdict": `, a.Verdict)
	b = field(b, `, "source": `, a.Source)
	b = field(b, `, "by": {"kind": `, string(a.By.Kind))
	b = field(b, `, "name": `, a.By.Name)
	b = append(b, `, "line": `...)
	if a.By.Line == 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64(a.By.Line), 10)
	}
	b = field(b, `}, "table": `, a.Table)
	b = field(b, `, "uplink": `, a.Uplink)
	b = field(b, `, "interface": `, a.Interface)
	b = append(b, `, "members": [`...)
	for i, name := range a.Members {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(field(b, `{"uplink": `, name), '}')
	}
	b = mark(append(b, `], "mark": {"packet": `...), a.PacketMark, a.ManyMarks[0])
	b = mark(append(b, `, "ct": `...), a.CTMark, a.ManyMarks[1])
	b = field(b, `}, "nat": {"kind": `, a.NAT)
	address := ""
	if a.Address.IsValid() {
		address = a.Address.String()
	}
	b = field(b, `, "address": `, address)
	b = append(b, `}, "offload": {"eligible": `...)
	b = strconv.AppendBool(b, a.Offload)
	b = field(b, `, "why": `, a.OffloadWhy)
	b = field(b, `}, "reply": {"uplink": `, a.Reply)
	b = append(b, `}, "why": [`...)
	for i, why := range a.Why {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = AppendText(b, why)
	}
	return append(b, "]}"...)
}

// AppendError appends what is wrong with a question as one line of JSON.
func AppendError(b []byte, id, message string) []byte {
	b = appendID(append(b, `{"id": `...), id)
	return append(AppendText(append(b, `, "error": `...), message), '}')
}

func appendID(b []byte, id string) []byte {
	if id == "" {
		return append(b, "null"...)
	}
	return append(b, id...)
}

// field appends a key and a text, null if it is empty.
func field(b []byte, key, text string) []byte {
	b = append(b, key...)
	if text == "" {
		return append(b, "null"...)
	}
	return AppendText(b, text)
}

func mark(b []byte, v uint32, many bool) []byte {
	if many {
		return append(b, "null"...)
	}
	b = append(b, `"0x`...)
	return append(strconv.AppendUint(b, uint64(v), 16), '"')
}

const hexDigits = "0123456789abcdef"

// AppendText appends a JSON string.
func AppendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, `\ufffd`...)
			} else {
				b = append(b, s[i:i+n]...)
			}
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}
