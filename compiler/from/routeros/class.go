package routeros

import (
	"strconv"
	"strings"

	"pbr/compiler/lazy"
)

// hashes are the classifiers of RouterOS, by what a balance hashes.
var hashes = lazy.Value[map[string][]string]{Make: func() map[string][]string {
	return map[string][]string{"src-address": {"src"}, "dst-address": {"dst"}, "both-addresses": {"src", "dst"}, "src-port": {"sport"},
		"dst-port": {"dport"}, "both-ports": {"sport", "dport"}, "src-address-and-port": {"src", "sport"},
		"dst-address-and-port":     {"dst", "dport"},
		"both-addresses-and-ports": {"src", "dst", "sport", "dport"}}
}}

// mostBuckets bounds how finely connections are dealt out: a member's weight is 256 at most.
const mostBuckets = 4096

func (m *matcher) pcc(not bool, text string) {
	fields, buckets, _ := strings.Cut(text, ":")
	n, at, ok := twoNumbers(buckets, "/")
	if not || !ok || hashes.Get()[fields] == nil || n < 1 || n > mostBuckets || at >= n {
		m.unknownKey("per-connection-classifier=%s cannot be read", text)
		return
	}
	m.cond.class = &class{fields: fields, n: n, at: at}
}

func (m *matcher) nth(not bool, text string) {
	n, at, ok := twoNumbers(text, ",")
	if not || !ok || n < 1 || n > mostBuckets || at < 1 || at > n {
		m.unknownKey("nth=%s cannot be read: nth=EVERY,PACKET is what versions since 3 write", text)
		return
	}
	m.cond.class = &class{nth: true, n: n, at: at - 1}
}

func twoNumbers(s, separator string) (a, b int, ok bool) {
	x, y, _ := strings.Cut(s, separator)
	a, err1 := strconv.Atoi(x)
	b, err2 := strconv.Atoi(y)
	return a, b, err1 == nil && err2 == nil && a >= 0 && b >= 0
}
